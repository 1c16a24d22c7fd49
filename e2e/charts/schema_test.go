package charts

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/kubilitics/kubilitics/hub"
)

// What can't be right is refused before anything is rendered, with a word that says what.
func TestWrongValuesAreNamed(t *testing.T) {
	good := map[string][]string{"kubilitics-agent": {"--set", "hub.address=tls://hub:8443"}, "kubilitics-hub": nil}
	for _, c := range []struct{ chart, set, says string }{
		{"kubilitics-agent", "hub.address=", "at '/hub/address': '' does not match pattern"},
		{"kubilitics-agent", "hub.address=https://hub.example", "at '/hub/address'"},
		{"kubilitics-agent", "hub.address=tls://hub.example", "at '/hub/address'"},
		{"kubilitics-agent", "hub.adress=tls://hub:1", "at '/hub': additional properties 'adress' not allowed"},
		{"kubilitics-agent", "acess=read", "additional properties 'acess' not allowed"},
		{"kubilitics-agent", "access=admin", "at '/access': value must be one of 'none', 'read', 'operate', 'impersonate'"},
		{"kubilitics-agent", "access=impersonate", "at '/impersonate': 'anyOf' failed"},
		{"kubilitics-agent", "access=impersonate,impersonate.users[0]=system:admin", "at '/impersonate/users/0': 'not' failed"},
		{"kubilitics-agent", "userPrefix=System:", "at '/userPrefix': 'not' failed"},
		{"kubilitics-agent", "share=everything", "at '/share': value must be one of 'manifests', 'topology'"},
		{"kubilitics-agent", "replicas=2", "at '/replicas': maximum: got 2, want 1"},
		{"kubilitics-agent", "excludeKinds[0]=secrets", "at '/excludeKinds/0': 'secrets' does not match pattern"},
		{"kubilitics-agent", "namespaces[0]=Shop", "at '/namespaces/0'"},
		{"kubilitics-agent", "excludeNamespaces[0]=kube_system", "at '/excludeNamespaces/0'"},
		{"kubilitics-agent", "customGroups[0]=*", "at '/customGroups/0'"},
		{"kubilitics-agent", "hub.proxy.url=http://ann:pass@proxy:1", "at '/hub/proxy/url'"},
		{"kubilitics-agent", "token=a-password", "at '/token'"},
		{"kubilitics-agent", "image.digest=sha256:12", "at '/image/digest'"},
		{"kubilitics-agent", "secrets=some", "at '/secrets': got string, want boolean"},
		{"kubilitics-agent", "trace.sample=2", "at '/trace/sample': maximum"},
		{"kubilitics-agent", "listener.port=80", "at '/listener/port': minimum"},
		{"kubilitics-agent", "listener.enabled=false,podMonitor.enabled=true", "podMonitor needs listener.enabled"},
		{"kubilitics-hub", "prometheusRule.leaveOut[0]=Other", "at '/prometheusRule/leaveOut/0'"},
		{"kubilitics-hub", "dashboard.label=x", "at '/dashboard': additional properties 'label' not allowed"},
		{"kubilitics-hub", "replicas=2", "at '/replicas': maximum: got 2, want 1"},
		{"kubilitics-hub", "publicURL=http://hub.example", "at '/publicURL'"},
		{"kubilitics-hub", "config.listen=:1", "at '/config': additional properties 'listen' not allowed"},
		{"kubilitics-hub", "config.database=postgres://x", "at '/config': additional properties 'database' not allowed"},
		{"kubilitics-hub", "config.keep.feed=a day", "at '/config/keep/feed'"},
		{"kubilitics-hub", "tunnel.address=hub:8443", "at '/tunnel/address'"},
		{"kubilitics-hub", "postgres.tls.mode=maybe", "at '/postgres/tls/mode'"},
		{"kubilitics-hub", "serviceMonitor.enabled=true", "at '/serviceMonitor/tokenSecret/name': minLength"},
		{"kubilitics-hub", "gateway.enabled=true", "at '/gateway/parentRefs': minItems"},
		{"kubilitics-hub", "tls.certManager.enabled=true", "at '/tls/certManager/issuerRef/name': minLength"},
		{"kubilitics-hub", "ingress.enabled=true", "ingress.host, or publicURL, must say"},
		{"kubilitics-hub", "config.notify.rules[0].true=health", "at '/config/notify/rules/0': additional properties 'true' not allowed"},
		{"kubilitics-hub", `podLabels.app\.kubernetes\.io/name=x`, "at '/podLabels/app.kubernetes.io~1name': false schema"},
		{"kubilitics-hub", "persistence.size=big", "at '/persistence/size'"},
	} {
		args := append([]string{"template", "x", folder(c.chart)}, good[c.chart]...)
		if _, err := helm(t.Context(), append(args, "--set", c.set)...); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s --set %s: want %q, got %v", c.chart, c.set, c.says, err)
		}
	}
}

type schema struct {
	Properties           map[string]*schema
	AdditionalProperties any
	Items                *schema
}

func readSchema(t *testing.T, chart string) *schema {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder(chart), "values.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	s := &schema{}
	if err := json.Unmarshal(text, s); err != nil {
		t.Fatal(err)
	}
	return s
}

// values.yaml shows each key that the schema knows, and no other; what is said of it stands there.
func TestValuesShowEveryKey(t *testing.T) {
	for _, chart := range []string{"kubilitics-agent", "kubilitics-hub"} {
		text, err := os.ReadFile(filepath.Join(folder(chart), "values.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		values := map[string]any{}
		if err := yaml.Unmarshal(text, &values); err != nil {
			t.Fatal(err)
		}
		s := readSchema(t, chart)
		delete(s.Properties, "global") // helm's own
		delete(s.Properties, "config") // the hub's file; TestTheHubsFileIsKnown
		delete(values, "config")
		compareKeys(t, chart, s, values)
	}
}

func compareKeys(t *testing.T, at string, s *schema, values map[string]any) {
	t.Helper()
	for key, sub := range s.Properties {
		value, shown := values[key]
		if !shown {
			t.Errorf("%s.%s is in the schema and not in values.yaml", at, key)
		}
		if inner, ok := value.(map[string]any); ok && len(sub.Properties) > 0 {
			if sub.AdditionalProperties != false {
				t.Errorf("%s.%s takes any key", at, key)
			}
			compareKeys(t, at+"."+key, sub, inner)
		}
	}
}

// told are the keys of the hub's configuration that values of their own stand for.
var told = []string{"listen", "tls-cert", "tls-key", "public-url", "public-ca", "database", "data-dir", "tunnel.listen", "tunnel.address", "tunnel.names", "ca.file"}

// Every key of the hub's configuration can be said in config, or has a value of its own, and config knows no other.
func TestTheHubsFileIsKnown(t *testing.T) {
	var known, taken []string
	keysOf(reflect.TypeFor[hub.Config](), "", &known)
	leaves(readSchema(t, "kubilitics-hub").Properties["config"], "", &taken)
	taken = append(taken, told...)
	slices.Sort(known)
	slices.Sort(taken)
	if !slices.Equal(known, taken) {
		t.Errorf("the hub knows  %q\nthe chart takes %q", known, taken)
	}
}

func keysOf(of reflect.Type, prefix string, out *[]string) {
	for i := range of.NumField() {
		f := of.Field(i)
		key, ok := f.Tag.Lookup("conf")
		switch {
		case !ok:
		case f.Type.Kind() == reflect.Struct:
			keysOf(f.Type, prefix+key+".", out)
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
			keysOf(f.Type.Elem(), prefix+key+"[].", out)
		default:
			*out = append(*out, prefix+key)
		}
	}
}

func leaves(s *schema, prefix string, out *[]string) {
	for key, sub := range s.Properties {
		switch {
		case len(sub.Properties) > 0:
			leaves(sub, prefix+key+".", out)
		case sub.Items != nil && len(sub.Items.Properties) > 0:
			leaves(sub.Items, prefix+key+"[].", out)
		default:
			*out = append(*out, prefix+key)
		}
	}
}
