package config

import (
	"strings"
	"testing"
)

// TestWrongValues: what can't be right is refused before anything is opened, and its key is named.
func TestWrongValues(t *testing.T) {
	hubs := map[string]string{
		"listen": "nowhere", "tls-cert": "cert.pem", "tls-key": "key.pem", "public-url": "http://hub.example", "public-ca": "/none.pem", "database": "mysql://x", "tenant": "",
		"cors-origins": "portal.example", "trusted-proxies": "10.0.0.0/33", "tunnel.listen": "8443", "tunnel.address": "hub.example:8443",
		"ca.file": "/none.pem", "ca.trusted": "/none.pem", "ca.domain": "spiffe://x", "ca.lifetime": "0s", "ca.token-lifetime": "-1s",
		"keep.feed": "0s", "keep.history": "0s", "keep.events": "0s", "keep.audit": "0s",
		"kube.user-rate": "-1", "kube.cluster-rate": "-1", "kube.user-requests": "-1", "kube.cluster-requests": "-1", "kube.user-streams": "-1", "kube.cluster-streams": "-1",
		"drain": "-1s", "ticket-lifetime": "0s", "verify-every": "-1s",
		"trace.endpoint": "collector:4318", "trace.sample": "1.5", "trace.headers": "nothing",
	}
	for key, value := range hubs {
		h, _, err := hubOf(t, t.TempDir(), "", "--"+strings.ReplaceAll(key, ".", "-")+"="+value)
		named(t, "hub", key, value, err)
		if err == nil {
			_ = h.Close()
		}
	}
	agents := map[string]string{
		"hub": "hub.example:8443", "hub-ca": "/none.pem", "proxy": "proxy:3128", "state-secret": "agent", "kubeconfig": "/none.kubeconfig",
		"share": "everything", "access": "Read", "user-prefix": "system:", "rules": "/none.yaml",
		"listen": "8081", "trace.endpoint": "collector:4318", "trace.sample": "-1", "trace.headers": "nothing",
	}
	for key, value := range agents {
		_, _, err := agentOf(t, "", "--hub=tls://127.0.0.1:1", "--"+strings.ReplaceAll(key, ".", "-")+"="+value)
		named(t, "agent", key, value, err)
	}
	files := map[string]string{
		"plugins[0].name":               "plugins: [{name: 'a b', as: enricher, path: /x, sha256: SUM, tenants: ['*']}]",
		"plugins[0].as":                 "plugins: [{name: a, as: both, path: /x, sha256: SUM, tenants: ['*']}]",
		"plugins[0].path":               "plugins: [{name: a, as: enricher, path: x, sha256: SUM, tenants: ['*']}]",
		"plugins[0].sha256":             "plugins: [{name: a, as: enricher, path: /x, sha256: abc, tenants: ['*']}]",
		"plugins[0].env":                "plugins: [{name: a, as: enricher, path: /x, sha256: SUM, tenants: ['*'], env: [nothing]}]",
		"plugins[0].tenants":            "plugins: [{name: a, as: enricher, path: /x, sha256: SUM}]",
		"plugins[0].timeout":            "plugins: [{name: a, as: enricher, path: /x, sha256: SUM, tenants: ['*'], timeout: -1s}]",
		"notify.targets[0].name":        "notify: {targets: [{name: '', as: webhook, url: 'http://x'}]}",
		"notify.targets[0].as":          "notify: {targets: [{name: a, as: mail, url: 'http://x'}]}",
		"notify.targets[0].url":         "notify: {targets: [{name: a, as: slack, url: 'http://x'}]}",
		"notify.targets[0].url-file":    "notify: {targets: [{name: a, as: webhook, url-file: x}]}",
		"notify.targets[0].secret-file": "notify: {targets: [{name: a, as: webhook, url: 'http://x', secret-file: x}]}",
		"notify.targets[0].ca-file":     "notify: {targets: [{name: a, as: webhook, url: 'http://x', ca-file: x}]}",
		"notify.targets[0].plugin":      "notify: {targets: [{name: a, as: plugin, plugin: b}]}",
		"notify.targets[0].attempts":    "notify: {targets: [{name: a, as: webhook, url: 'http://x', attempts: -1}]}",
		"notify.rules[0].name":          "notify: {rules: [{name: 'A', to: [a], tenants: ['*']}]}",
		"notify.rules[0].to":            "notify: {rules: [{name: a, to: [b], tenants: ['*']}]}",
		"notify.rules[0].tenants":       "notify: {rules: [{name: a, to: [b]}]}",
		"notify.rules[0].on":            "notify: {rules: [{name: a, to: [b], on: [anything]}]}",
		"notify.rules[0].from":          "notify: {rules: [{name: a, to: [b], from: [bad]}]}",
		"notify.rules[0].becomes":       "notify: {rules: [{name: a, to: [b], becomes: [bad]}]}",
		"notify.rules[0].severity":      "notify: {rules: [{name: a, to: [b], severity: bad}]}",
		"notify.rules[0].window":        "notify: {rules: [{name: a, to: [b], window: -1s}]}",
	}
	for key, text := range files {
		_, _, err := hubOf(t, t.TempDir(), strings.ReplaceAll(text, "SUM", strings.Repeat("0", 64))+"\n")
		named(t, "hub", key, text, err)
	}
}

func named(t *testing.T, program, key, value string, err error) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), key) {
		t.Errorf("%s, %s = %q: %v; want the key in it", program, key, value, err)
	}
}
