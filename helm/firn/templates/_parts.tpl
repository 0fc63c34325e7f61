{{/* Labels of every object. */}}
{{- define "firn.labels" -}}
app.kubernetes.io/part-of: firn
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* Labels that select the pods of one component. Takes the component's name. */}}
{{- define "firn.selector" -}}
app.kubernetes.io/part-of: firn
app.kubernetes.io/component: {{ . }}
{{- end }}

{{/* Takes one of .Values.images. */}}
{{- define "firn.image" -}}
image: {{ printf "%s:%s" .repository .tag | quote }}
imagePullPolicy: {{ .pullPolicy }}
{{- end }}

{{- define "firn.imagePullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "firn.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "firn.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Where a pod runs. Takes a component's values. */}}
{{- define "firn.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Environment that operator and services share. */}}
{{- define "firn.identityEnv" -}}
- name: FIRN_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: FIRN_POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: FIRN_POD_UID
  valueFrom: {fieldRef: {fieldPath: metadata.uid}}
{{- end }}

{{/* Where a policy lets pods go. Takes a CIDR; every address is all but the link-local ones, where clouds give out credentials. */}}
{{- define "firn.ipBlock" -}}
cidr: {{ . | quote }}
{{- if eq . "0.0.0.0/0" }}
except: [169.254.0.0/16]
{{- end }}
{{- end }}

{{/* A Kubernetes quantity as a whole number. */}}
{{- define "firn.number" -}}
{{- $digits := regexFind "^[0-9.]+" . }}
{{- $factors := dict "" 1.0 "m" 0.001 "k" 1e3 "Ki" 1024.0 "M" 1e6 "Mi" 1048576.0 "G" 1e9 "Gi" 1073741824.0 "T" 1e12 "Ti" 1099511627776.0 }}
{{- mulf (float64 $digits) (get $factors (trimPrefix $digits .)) | int64 }}
{{- end }}

{{- define "firn.signingVolume" -}}
- name: signing
  secret:
    secretName: {{ include "firn.signingSecret" . }}
    defaultMode: 0440
{{- end }}

{{- define "firn.signingMount" -}}
- name: signing
  mountPath: /etc/firn/signing
  readOnly: true
{{- end }}

{{- define "firn.signingSecret" -}}
{{ .Values.signing.existingSecret | default "firn-signing" }}
{{- end }}

{{- define "firn.adminSecret" -}}
{{ .Values.admin.existingSecret | default "firn-admin" }}
{{- end }}

{{- define "firn.objectStoreSecret" -}}
{{ .Values.objectStore.existingSecret | default "firn-object-store" }}
{{- end }}

{{/* The built-in store by its full name: a short one makes resolvers ask for AAAA under every search domain, upstream too. */}}
{{- define "firn.objectStoreEndpoint" -}}
{{- $builtin := printf "http://firn-object-store.%s.svc.%s:9000" .Release.Namespace .Values.clusterDomain -}}
{{ .Values.objectStore.builtin.enabled | ternary $builtin .Values.objectStore.endpoint }}
{{- end }}

{{/* Annotation of what outlives the release. */}}
{{- define "firn.keep" -}}
{{- if .Values.keepData }}
annotations:
  helm.sh/resource-policy: keep
{{- end }}
{{- end }}

{{/* Whether the services keep data on a volume of their own: SQLite's file, unless that is not to be kept. */}}
{{- define "firn.servicesKeepData" -}}
{{- and (eq .Values.services.database.kind "sqlite") .Values.services.persistence.enabled -}}
{{- end }}

{{/* A volume for data. Takes a dict of root, name and persistence. */}}
{{- define "firn.dataClaim" -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ .name }}
  labels:
    {{- include "firn.labels" .root | nindent 4 }}
  {{- include "firn.keep" .root | nindent 2 }}
spec:
  accessModes: [ReadWriteOnce]
  {{- with .persistence.storageClassName }}
  storageClassName: {{ . }}
  {{- end }}
  resources:
    requests:
      storage: {{ .persistence.size }}
{{- end }}
