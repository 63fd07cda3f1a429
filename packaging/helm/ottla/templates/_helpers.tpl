{{- define "ottla.name" -}}
{{ printf "%s-ottla" .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "ottla.labels" -}}
app.kubernetes.io/name: ottla
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "ottla.seeds" -}}
{{- $name := include "ottla.name" . -}}
{{- range $i := until (int .Values.replicas) }}{{ if $i }},{{ end }}{{ $name }}-{{ $i }}.{{ $name }}-nodes:7070{{ end }}
{{- end }}
