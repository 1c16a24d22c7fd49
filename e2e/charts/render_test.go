package charts

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// rendering is a chart with the values of a file.
type rendering struct {
	chart, name string
	values      string // path
	text        string
	objects     []*unstructured.Unstructured
}

// renderings renders every file of values there is.
func renderings(t *testing.T) (out []*rendering) {
	t.Helper()
	files, err := filepath.Glob("testdata/*/*.values.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files of values: %v", len(files), err)
	}
	for _, file := range files {
		chart := filepath.Base(filepath.Dir(file))
		r := &rendering{chart: chart, name: strings.TrimSuffix(filepath.Base(file), ".values.yaml"), values: file}
		r.text = mustHelm(t, "template", chart, folder(chart), "--namespace", "kubilitics", "--values", file)
		r.objects = decode(t, r.text)
		out = append(out, r)
	}
	return out
}

func decode(t *testing.T, text string) (out []*unstructured.Unstructured) {
	t.Helper()
	docs := yaml.NewYAMLToJSONDecoder(strings.NewReader(text))
	for {
		o := &unstructured.Unstructured{}
		err := docs.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(o.Object) > 0 {
			out = append(out, o)
		}
	}
}

// madeRoot is a root that the chart made: another one each time.
var madeRoot = regexp.MustCompile(`(?m)^(  ca\.pem: ).{100,}$`)

// dashboard is that of files/dashboard.json, on one line.
var dashboard = regexp.MustCompile(`(?m)^(  kubilitics\.json: ).{1000,}$`)

// What each file of values gives is what its golden file says.
func TestRenderings(t *testing.T) {
	for _, r := range renderings(t) {
		golden := strings.TrimSuffix(r.values, ".values.yaml") + ".golden.yaml"
		got := madeRoot.ReplaceAllString(r.text, "${1}A-ROOT-THAT-WAS-MADE")
		got = dashboard.ReplaceAllString(got, "${1}THE-DASHBOARD")
		if *rewrite {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s differs; see it after go test -rewrite", golden)
		}
	}
}

func TestLint(t *testing.T) {
	for _, r := range renderings(t) {
		if out, err := helm(t.Context(), "lint", "--strict", "--values", r.values, folder(r.chart)); err != nil || strings.Contains(out, "[WARNING]") {
			t.Errorf("%s %s: %v %s", r.chart, r.name, err, out)
		}
	}
}

// An API server takes every object, with no field that it doesn't know.
func TestServerSideDryRun(t *testing.T) {
	for _, r := range renderings(t) {
		out, err := world.cluster.Kubectl(t.Context(), strings.NewReader(r.text), "apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename", "-")
		if err != nil {
			t.Errorf("%s %s: %v", r.chart, r.name, err)
		}
		if n := bytes.Count(out, []byte("\n")); n != len(r.objects) {
			t.Errorf("%s %s: %d of %d objects were taken:\n%s", r.chart, r.name, n, len(r.objects), out)
		}
	}
}

// pods gives the pod templates, by what they are of.
func (r *rendering) pods(t *testing.T) map[string]corev1.PodSpec {
	t.Helper()
	out := map[string]corev1.PodSpec{}
	for _, o := range r.objects {
		var d appsv1.Deployment
		var s appsv1.StatefulSet
		var j batchv1.Job
		into := map[string]any{"Deployment": &d, "StatefulSet": &s, "Job": &j}[o.GetKind()]
		if into == nil {
			continue
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, into); err != nil {
			t.Fatal(err)
		}
		out[o.GetKind()] = map[string]corev1.PodSpec{"Deployment": d.Spec.Template.Spec, "StatefulSet": s.Spec.Template.Spec, "Job": j.Spec.Template.Spec}[o.GetKind()]
	}
	return out
}

// Whatever the values, a pod of ours may do nothing that it needn't.
func TestPodsAreConfined(t *testing.T) {
	for _, r := range renderings(t) {
		pods := r.pods(t)
		if len(pods) == 0 {
			t.Errorf("%s %s: no pods", r.chart, r.name)
		}
		for kind, p := range pods {
			at := r.chart + " " + r.name + " " + kind
			s := p.SecurityContext
			if s == nil || !*s.RunAsNonRoot || *s.RunAsUser != 65532 || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
				t.Errorf("%s: %+v", at, s)
			}
			if p.HostNetwork || p.HostPID || p.HostIPC || *p.AutomountServiceAccountToken != (r.chart == "kubilitics-agent") || *p.EnableServiceLinks {
				t.Errorf("%s: more of its surroundings than it needs", at)
			}
			for _, c := range p.Containers {
				s := c.SecurityContext
				if s == nil || *s.AllowPrivilegeEscalation || *s.Privileged || !*s.ReadOnlyRootFilesystem || len(s.Capabilities.Drop) != 1 || s.Capabilities.Drop[0] != "ALL" || len(s.Capabilities.Add) > 0 {
					t.Errorf("%s: %+v", at, s)
				}
				if c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() {
					t.Errorf("%s: resources %+v", at, c.Resources)
				}
			}
		}
	}
}

// What the charts tell the programs, in files and variables, is what the programs know: `config print` takes it.
func TestProgramsKnowWhatTheyAreTold(t *testing.T) {
	for _, r := range renderings(t) {
		program, key := world.programs.Hub, "kubilitics-hub.yaml"
		if r.chart == "kubilitics-agent" {
			program, key = world.programs.Agent, "kubilitics-agent.yaml"
		}
		file := filepath.Join(t.TempDir(), key)
		if err := os.WriteFile(file, []byte(r.configuration(t, key)), 0o600); err != nil {
			t.Fatal(err)
		}
		for kind, p := range r.pods(t) {
			cmd := exec.CommandContext(t.Context(), program, "config", "print", "--config", file)
			for _, e := range p.Containers[0].Env {
				value := e.Value
				if e.ValueFrom != nil {
					value = "from-a-secret"
				}
				cmd.Env = append(cmd.Env, e.Name+"="+value)
			}
			if out, err := command(cmd); err != nil || out == "" {
				t.Errorf("%s %s %s: %v", r.chart, r.name, kind, err)
			}
		}
	}
}

// configuration is the text of a program's file.
func (r *rendering) configuration(t *testing.T, key string) string {
	t.Helper()
	for _, o := range r.objects {
		for _, field := range []string{"data", "stringData"} {
			if text, ok, _ := unstructured.NestedString(o.Object, field, key); ok {
				return text
			}
		}
	}
	t.Fatalf("%s %s tells no %s", r.chart, r.name, key)
	return ""
}
