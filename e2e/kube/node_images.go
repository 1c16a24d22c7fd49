package kube

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubilitics/kubilitics/e2e/image"
)

// ToolsImage is an image that the real node has from its start: busybox, also under the names sh, tar and cat. It sleeps unless told otherwise.
const ToolsImage = "localhost/kubilitics-tools:dev"

// nodeNeeds are programs that a real node takes from the distribution, and who brings them in Debian.
var nodeNeeds = map[string]string{"containerd": "containerd", "ctr": "containerd", "runc": "runc", "ip": "iproute2", "iptables": "iptables", "mount": "mount", "busybox": "busybox-static"}

// NodeLacks says what keeps a real node from running on this machine, "" if nothing does.
func NodeLacks() string {
	if runtime.GOOS != "linux" {
		return "it wants Linux"
	}
	if os.Geteuid() != 0 {
		return "it wants root: it makes namespaces, mounts and control groups"
	}
	var lacks []string
	for name, from := range nodeNeeds {
		if lookPath(name) == "" {
			lacks = append(lacks, name+" (Debian: "+from+")")
		}
	}
	if cniPlugins() == "" {
		lacks = append(lacks, "the CNI plugins ptp, host-local and portmap (Debian: containernetworking-plugins)")
	}
	slices.Sort(lacks)
	if len(lacks) > 0 {
		return "it wants " + strings.Join(lacks, ", ")
	}
	if f, err := elf.Open(lookPath("busybox")); err != nil || slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return "it wants a busybox that needs no libraries (Debian: busybox-static)"
	}
	return ""
}

// lookPath finds a program also where root's PATH doesn't lead; "" if it is nowhere.
func lookPath(name string) string {
	if at, err := exec.LookPath(name); err == nil {
		if abs, err := filepath.Abs(at); err == nil {
			return abs
		}
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/local/bin"} {
		if at := filepath.Join(dir, name); isFile(at) {
			return at
		}
	}
	return ""
}

// cniPlugins is the folder that has them; "" if there is none.
func cniPlugins() string {
	for _, dir := range []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"} {
		if isFile(filepath.Join(dir, "ptp")) && isFile(filepath.Join(dir, "host-local")) && isFile(filepath.Join(dir, "portmap")) {
			return dir
		}
	}
	return ""
}

// loadTools gives the node the image that its pods' sandboxes are made of.
func (c *Cluster) loadTools(ctx context.Context) error {
	busybox := lookPath("busybox")
	tools := image.Image{Name: ToolsImage, Platform: "linux/" + runtime.GOARCH, Entrypoint: []string{"/bin/busybox", "sleep", "infinity"}, Env: []string{"PATH=/bin"}}
	for _, name := range []string{"busybox", "sh", "tar", "cat"} {
		tools.Files = append(tools.Files, image.File{Path: "/bin/" + name, Source: busybox, Mode: 0o755})
	}
	tools.Files = append(tools.Files, image.File{Path: "/tmp"})
	archive := c.path("tools.tar")
	if _, err := tools.Save(archive); err != nil {
		return err
	}
	return c.LoadImage(ctx, archive)
}

// LoadImage gives the real node the images of an archive, as `docker save` writes it.
func (c *Cluster) LoadImage(ctx context.Context, archive string) error {
	_, err := c.real.run(ctx, "ctr", "--namespace", "k8s.io", "images", "import", archive)
	return err
}

// run runs a program on the node, as its root.
func (n *node) run(ctx context.Context, name string, args ...string) ([]byte, error) {
	var out strings.Builder
	cmd := exec.CommandContext(ctx, lookPath(name), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", &out, &out
	err := n.start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return nil, fmt.Errorf("%s on the node: %w: %s", name, err, strings.TrimSpace(out.String()))
	}
	return []byte(out.String()), nil
}

// Volume makes a volume of a class on the real node's disk: a folder there. Whoever deletes its claim finds it released, with all that was in it.
func (c *Cluster) Volume(ctx context.Context, name, class, size string) error {
	if err := os.Mkdir(c.real.path("lib", "volumes", name), 0o755); err != nil {
		return fmt.Errorf("make a volume: %w", err)
	}
	client, err := kubernetes.NewForConfig(c.RESTConfig())
	if err != nil {
		return err
	}
	defer closeIdle(client.CoreV1().RESTClient())
	here := corev1.NodeSelectorRequirement{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{c.real.name}}
	_, err = client.CoreV1().PersistentVolumes().Create(ctx, &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			StorageClassName:              class,
			AccessModes:                   []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			PersistentVolumeSource:        corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: "/var/lib/volumes/" + name}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{here}}}}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		err = errors.Join(fmt.Errorf("make a volume: %w", err), os.Remove(c.real.path("lib", "volumes", name)))
	}
	return err
}
