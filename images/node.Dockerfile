# The node image: what runs in a warehouse, with plain Ray and the engine.
#
# The build context holds dependencies/ (wheels of locks/node.txt) and members/ (wheels of this repository), so that
# no step needs a network. `python -m firn_local images` makes it and builds; dependencies have layers of their own.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS dependencies
COPY dependencies/ /dependencies/
RUN python3 -m venv /opt/pip \
 && python3 -m venv --without-pip /opt/venv \
 && /opt/pip/bin/pip --python /opt/venv/bin/python install --no-index --no-deps --no-cache-dir --no-compile /dependencies/*.whl \
 && echo /opt/firn > "$(echo /opt/venv/lib/python3.*/site-packages)/firn.pth" \
 && /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib

FROM dependencies AS members
COPY members/ /members/
RUN /opt/pip/bin/pip --python /opt/venv/bin/python install --no-index --no-deps --no-cache-dir --no-compile --target /opt/firn /members/*.whl \
 && /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/firn

FROM ${BASE_IMAGE}
RUN echo 'firn:x:65532:65532:Firn:/tmp:/usr/sbin/nologin' >> /etc/passwd && echo 'firn:x:65532:' >> /etc/group
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=members /opt/firn /opt/firn
ENV PATH=/opt/firn/bin:/opt/venv/bin:/usr/local/bin:/usr/bin:/bin HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
WORKDIR /tmp
CMD ["firn-node"]
