{{- define "castellan.labels" -}}
app.kubernetes.io/name: castellan
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* `true` where an API keeps records on disk. */}}
{{- define "castellan.disk" -}}
{{- $apis := merge (dict) (.Values.config.apis | default dict) (dict "arion" (dict "durability" "disk")) -}}
{{- range $name, $api := $apis -}}
{{- if and (eq (dig "durability" "memory" $api) "disk") (dig "enabled" true $api) }}true{{ end -}}
{{- end -}}
{{- end }}

{{- /* The names of the gateways: with volumes each has one of its own, so that keys of requests hold over all of them. */}}
{{- define "castellan.peers" -}}
{{- $name := .Release.Name -}}
{{- if include "castellan.disk" . -}}
{{- range $i := until (int .Values.replicas) }}
- {{ $name }}-{{ $i }}.{{ $name }}-pods:8091
{{- end -}}
{{- else -}}
- {{ $name }}-pods:8091
{{- end -}}
{{- end }}

{{- define "castellan.config" -}}
{{- $set := dict "http" (dict "host" "0.0.0.0" "port" 8080) "management" (dict "host" "0.0.0.0" "port" 8081) -}}
{{- $_ := set $set "wal" (dict "directory" "/var/lib/castellan/wal") -}}
{{- if .Values.peersToken -}}
{{- $peers := dict "listen" "0.0.0.0:8091" "addresses" (include "castellan.peers" . | fromYamlArray) -}}
{{- $_ := set $set "peers" (merge $peers (.Values.config.peers | default dict)) -}}
{{- end -}}
{{- toYaml (mustMergeOverwrite (deepCopy .Values.config) $set) -}}
{{- end }}

{{- /* Name and number of each listener for clients: the shared port, and those of APIs that have one. */}}
{{- define "castellan.ports" -}}
- { name: http, port: 8080 }
{{- range $name, $api := .Values.config.apis | default dict }}
{{- with $api.port }}
- { name: {{ $name }}, port: {{ . }} }
{{- end }}
{{- end }}
{{- end }}

{{- define "castellan.image" -}}
{{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end }}

{{- /* Settings that are secrets, by their variables, with the Secret and the key of each. */}}
{{- define "castellan.secrets" -}}
{{- $secrets := .Values.secrets -}}
{{- with .Values.peersToken -}}
{{- $secrets = merge (dict "CASTELLAN_PEERS_TOKEN" (dict "name" . "key" "token")) $secrets -}}
{{- end -}}
{{- toYaml $secrets -}}
{{- end }}

{{- define "castellan.environment" -}}
{{- range $variable, $_ := include "castellan.secrets" . | fromYaml }}
- { name: {{ $variable }}_FILE, value: /run/secrets/castellan/{{ $variable }} }
{{- end }}
{{- end }}

{{- /* What the gateway reads: its settings, its secrets, and further files. */}}
{{- define "castellan.mounts" -}}
- { name: config, mountPath: /etc/castellan, readOnly: true }
{{- if include "castellan.secrets" . | fromYaml }}
- { name: secrets, mountPath: /run/secrets/castellan, readOnly: true }
{{- end }}
{{- range .Values.files }}
- { name: {{ . }}, mountPath: /files/{{ . }}, readOnly: true }
{{- end }}
{{- end }}

{{- define "castellan.volumes" -}}
- name: config
  configMap: { name: {{ .Release.Name }} }
{{- with include "castellan.secrets" . | fromYaml }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range $variable, $secret := . }}
      - secret:
          name: {{ $secret.name }}
          items:
            - { key: {{ $secret.key }}, path: {{ $variable }} }
      {{- end }}
{{- end }}
{{- range .Values.files }}
- name: {{ . }}
  secret: { secretName: {{ . }}, defaultMode: 0440 }
{{- end }}
{{- end }}
