# The S3 server of demo and tests: versitygw. The build context holds the program.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE}
COPY versitygw /usr/local/bin/versitygw
ENV HOME=/tmp
USER 65532:65532
WORKDIR /tmp
ENTRYPOINT ["versitygw"]
