{{- define "kubilitics-agent.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- /* Short enough for what is put behind it. */ -}}
{{- define "kubilitics-agent.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "kubilitics-agent.selector" -}}
app.kubernetes.io/name: {{ include "kubilitics-agent.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "kubilitics-agent.ownLabels" -}}
{{ include "kubilitics-agent.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: kubilitics
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "kubilitics-agent.labels" -}}
{{- include "kubilitics-agent.labelsWith" (list . dict) -}}
{{- end -}}

{{- /* With those of one object, which win over those that are common to all: (list . labels). */ -}}
{{- define "kubilitics-agent.labelsWith" -}}
{{- $root := first . -}}
{{ include "kubilitics-agent.ownLabels" $root }}
{{- with merge (dict) (default dict (last .)) (default dict $root.Values.commonLabels) }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "kubilitics-agent.account" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "kubilitics-agent.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end -}}

{{- /* Roles and bindings of the whole cluster: two releases in two namespaces don't meet. */ -}}
{{- define "kubilitics-agent.clustername" -}}
{{- printf "%s-%s" .Release.Namespace (include "kubilitics-agent.fullname" .) -}}
{{- end -}}

{{- define "kubilitics-agent.state" -}}
{{- default (printf "%s-state" (include "kubilitics-agent.fullname" .)) .Values.state.secret -}}
{{- end -}}

{{- define "kubilitics-agent.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "kubilitics-agent.subject" -}}
subjects:
  - kind: ServiceAccount
    name: {{ include "kubilitics-agent.account" . }}
    namespace: {{ .Release.Namespace }}
{{- end -}}

{{- /* The kinds that aren't watched. */ -}}
{{- define "kubilitics-agent.excluded" -}}
{{- $out := .Values.excludeKinds -}}
{{- if not .Values.secrets -}}
{{- $out = append $out "Secret" -}}
{{- end -}}
{{- toJson (uniq $out) -}}
{{- end -}}

{{- /* What the agent is told, as its configuration file. What is secret comes by its environment. */ -}}
{{- define "kubilitics-agent.config" -}}
hub: {{ .Values.hub.address | quote }}
{{- if include "kubilitics-agent.hasCA" . }}
hub-ca: /etc/kubilitics/hub-ca.crt
{{- end }}
{{- with .Values.hub.proxy.url }}
proxy: {{ . | quote }}
{{- end }}
state-secret: {{ .Release.Namespace }}/{{ include "kubilitics-agent.state" . }}
share: {{ .Values.share }}
access: {{ .Values.access }}
user-prefix: {{ .Values.userPrefix | quote }}
{{- with .Values.namespaces }}
namespaces: {{ toJson . }}
{{- end }}
{{- with .Values.excludeNamespaces }}
exclude-namespaces: {{ toJson . }}
{{- end }}
{{- with fromJsonArray (include "kubilitics-agent.excluded" .) }}
exclude: {{ toJson . }}
{{- end }}
{{- if .Values.rules }}
rules: /etc/kubilitics/rules.yaml
{{- end }}
{{- with .Values.trace.endpoint }}
trace:
  endpoint: {{ . | quote }}
  sample: {{ $.Values.trace.sample }}
{{- end }}
{{- if .Values.listener.enabled }}
listen: ":{{ .Values.listener.port }}"
{{- end }}
log:
  level: {{ .Values.log.level }}
  format: {{ .Values.log.format }}
{{- end -}}

{{- define "kubilitics-agent.hasCA" -}}
{{- with .Values.hub.ca -}}
{{- if or .inline .configMap .secret -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Where on the network the hub is, or the proxy that leads there: its port. */ -}}
{{- define "kubilitics-agent.port" -}}
{{- $u := urlParse (default .Values.hub.address .Values.hub.proxy.url) -}}
{{- $port := regexFind ":[0-9]+$" $u.host -}}
{{- if $port -}}
{{ trimPrefix ":" $port }}
{{- else if has $u.scheme (list "ws" "http") -}}
80
{{- else -}}
443
{{- end -}}
{{- end -}}
