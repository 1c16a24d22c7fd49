{{- define "kubilitics-hub.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- /* Short enough for what is put behind it. */ -}}
{{- define "kubilitics-hub.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "kubilitics-hub.selector" -}}
app.kubernetes.io/name: {{ include "kubilitics-hub.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "kubilitics-hub.ownLabels" -}}
{{ include "kubilitics-hub.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: kubilitics
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "kubilitics-hub.labels" -}}
{{- include "kubilitics-hub.labelsWith" (list . dict) -}}
{{- end -}}

{{- /* With those of one object, which win over those that are common to all: (list . labels). */ -}}
{{- define "kubilitics-hub.labelsWith" -}}
{{- $root := first . -}}
{{ include "kubilitics-hub.ownLabels" $root }}
{{- with merge (dict) (default dict (last .)) (default dict $root.Values.commonLabels) }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "kubilitics-hub.account" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "kubilitics-hub.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end -}}

{{- define "kubilitics-hub.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "kubilitics-hub.publicHost" -}}
{{- regexReplaceAll ":[0-9]+$" (urlParse .Values.publicURL).host "" -}}
{{- end -}}

{{- /* How agents are told to come. */ -}}
{{- define "kubilitics-hub.tunnelAddress" -}}
{{- if .Values.tunnel.address -}}
{{ .Values.tunnel.address }}
{{- else if .Values.publicURL -}}
wss://{{ (urlParse .Values.publicURL).host }}/tunnel/v1
{{- else -}}
tls://{{ include "kubilitics-hub.fullname" . }}-tunnels.{{ .Release.Namespace }}.svc:{{ .Values.tunnel.service.port }}
{{- end -}}
{{- end -}}

{{- /* The Secret with the API's certificate, if it has one. */ -}}
{{- define "kubilitics-hub.tlsSecret" -}}
{{- if .Values.tls.certManager.enabled -}}
{{ include "kubilitics-hub.fullname" . }}-tls
{{- else -}}
{{ .Values.tls.existingSecret }}
{{- end -}}
{{- end -}}

{{- /* The Secret with the hub's root, where it isn't on the volume. */ -}}
{{- define "kubilitics-hub.caSecret" -}}
{{- if .Values.ca.existingSecret.name -}}
{{ .Values.ca.existingSecret.name }}
{{- else if .Values.postgres.existingSecret.name -}}
{{ include "kubilitics-hub.fullname" . }}-ca
{{- end -}}
{{- end -}}

{{- define "kubilitics-hub.claim" -}}
{{- default (printf "%s-data" (include "kubilitics-hub.fullname" .)) .Values.persistence.existingClaim -}}
{{- end -}}

{{- define "kubilitics-hub.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "kubilitics-hub.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- /* What is the same for the hub and for the Job that migrates its database. These win over the file. */ -}}
{{- define "kubilitics-hub.env" -}}
- name: KUBILITICS_DATA_DIR
  value: /var/lib/kubilitics
- name: TMPDIR
  value: /tmp
{{- with .Values.postgres }}
{{- if .existingSecret.name }}
- name: KUBILITICS_DATABASE
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret.name }}
      key: {{ .existingSecret.key }}
- name: PGSSLMODE
  value: {{ .tls.mode }}
{{- if .tls.secret }}
- name: PGSSLROOTCERT
  value: /etc/kubilitics/postgres/ca.crt
{{- if .tls.cert }}
- name: PGSSLCERT
  value: /etc/kubilitics/postgres/tls.crt
- name: PGSSLKEY
  value: /etc/kubilitics/postgres/tls.key
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "kubilitics-hub.databaseSources" -}}
{{- with .Values.postgres }}
{{- if and .existingSecret.name .tls.secret }}
- secret:
    name: {{ .tls.secret }}
    items:
      - {key: {{ .tls.ca | quote }}, path: postgres/ca.crt}
      {{- if .tls.cert }}
      - {key: {{ .tls.cert | quote }}, path: postgres/tls.crt}
      - {key: {{ .tls.key | quote }}, path: postgres/tls.key}
      {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "kubilitics-hub.placing" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
