package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"k8s.io/client-go/util/cert"

	"github.com/kubilitics/kubilitics/e2e/image"
	"github.com/kubilitics/kubilitics/e2e/source"
	"github.com/kubilitics/kubilitics/shared/pgtest"
)

// central is the namespace of the hub that has a Postgres.
const central = "central"

// A hub on a Postgres outside the cluster, which lets it in by TLS and password only, is upgraded to a version with another schema: the hook's Job migrates, the
// old hub makes way for it, and the new one knows what the old one knew.
func TestAHubOnPostgresIsUpgraded(t *testing.T) {
	if place.own == nil {
		t.Skip("NOT RUN: " + place.lacks + " A given cluster doesn't reach a database on this machine.")
	}
	db := newDatabase(t)
	must(t, "kubectl", "create", "namespace", central)
	t.Cleanup(func() {
		if _, err := do(context.WithoutCancel(t.Context()), place.kubeconfig, nil, "kubectl", "delete", "namespace", central); err != nil {
			t.Error(err)
		}
	})
	db.announce(t)
	helm := func(do, set string) {
		t.Helper()
		must(t, "helm", do, "kubilitics-hub", chart("kubilitics-hub"), "--namespace", central, "--wait", "--timeout", "2m", "--set", ours("kubilitics-hub"), "--set", "postgres.existingSecret.name=database,postgres.tls.secret=database-root"+set)
	}

	h := hub{road: road{namespace: central}}
	t.Cleanup(h.close)
	helm("install", "")
	h.Token = tokenOf(t, central)
	h.visit(t)
	if err := h.Do(t.Context(), http.MethodPost, "/api/v1/clusters", map[string]any{"name": "kept"}, nil); err != nil {
		t.Fatal(err)
	}
	helm("upgrade", ",image.tag="+tomorrow(t))
	h.visit(t)
	if version, err := h.Text(t.Context(), "/version"); err != nil || !strings.Contains(version, "tomorrow") {
		t.Errorf("the hub that answers is %s (%v)", version, err)
	}
	if clusters, err := h.Text(t.Context(), "/api/v1/clusters"); err != nil || !strings.Contains(clusters, `"name":"kept"`) {
		t.Errorf("of clusters it knows %s (%v)", clusters, err)
	}
	if err := db.enter(t.Context(), "require", "SELECT FROM tomorrow"); err != nil {
		t.Error(err)
	}
	if left := must(t, "kubectl", "--namespace", central, "get", "jobs", "-o", "name"); left != "" {
		t.Errorf("left is %s", left)
	}
	must(t, "helm", "uninstall", "kubilitics-hub", "--namespace", central, "--wait", "--timeout", "1m")
}

// tomorrow gives the node an image of the hub with one migration more, and tells its tag.
func tomorrow(t *testing.T) string {
	t.Helper()
	root, err := source.Root()
	if err != nil {
		t.Fatal(err)
	}
	copied := t.TempDir()
	if err := source.Copy(root, copied); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"up": "CREATE TABLE tomorrow ();", "down": "DROP TABLE tomorrow;"} {
		if err := os.WriteFile(filepath.Join(copied, "migrations", "postgres", "9999_tomorrow."+name+".sql"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	i, err := image.Release{Version: "tomorrow", Source: copied}.Program(t.Context(), "kubilitics-hub", "linux/"+runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(copied, "hub.tar")
	if _, err := i.Save(file); err != nil {
		t.Fatal(err)
	}
	if err := place.own.LoadImage(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	return "tomorrow"
}

// database is the hub's, in a Postgres on this machine, and the way to it from the node.
type database struct {
	*pgx.Conn        // its administrator's
	root      []byte // the certificate that it is known by
	relay
}

const password = "of-the-hub"

func newDatabase(t *testing.T) *database {
	t.Helper()
	if os.Getenv(pgtest.Env) != "" {
		t.Skip("NOT RUN: the given Postgres isn't ours to set up")
	}
	server, err := pgtest.Start(t.Context(), false)
	if errors.Is(err, pgtest.ErrNone) {
		t.Skip("NOT RUN: " + err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	db := &database{}
	if db.Conn, err = pgx.Connect(t.Context(), server.DSN); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Conn.Close(context.WithoutCancel(t.Context())) })
	at := net.JoinHostPort(db.Config().Host, fmt.Sprint(db.Config().Port))
	db.dial = func() (lane, error) {
		conn, err := net.Dial("tcp", at)
		if err != nil {
			return nil, err
		}
		return conn.(*net.TCPConn), nil
	}
	if err := db.relay.open(t.Context(), net.JoinHostPort(machine(t), "0")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.relay.close)
	for _, step := range []string{"CREATE ROLE hub LOGIN PASSWORD '" + password + "'", "CREATE DATABASE hub OWNER hub"} {
		if _, err := db.Exec(t.Context(), step); err != nil {
			t.Fatal(err)
		}
	}
	db.secure(t)
	return db
}

// machine is the address of this machine, as the node sees it.
func machine(t *testing.T) string {
	t.Helper()
	at, err := url.Parse(place.own.RESTConfig().Host)
	if err != nil {
		t.Fatal(err)
	}
	return at.Hostname()
}

// secure lets the hub in by TLS and password only.
func (db *database) secure(t *testing.T) {
	t.Helper()
	chain, key, err := cert.GenerateSelfSignedCertKey("database", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	db.root = chain
	var dir string
	if err := db.QueryRow(t.Context(), "SHOW data_directory").Scan(&dir); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		t.Skip("NOT RUN: the files of this Postgres are elsewhere: " + err.Error())
	}
	for name, text := range map[string]string{
		"server.crt": string(chain), "server.key": string(key), "pg_hba.conf": "host all postgres 127.0.0.1/32 trust\nhostssl hub hub 127.0.0.1/32 scram-sha-256\n",
	} {
		file, owner := filepath.Join(dir, name), info.Sys().(*syscall.Stat_t)
		if err := errors.Join(os.WriteFile(file, []byte(text), 0o600), os.Chown(file, int(owner.Uid), int(owner.Gid))); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []string{"ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"} {
		if _, err := db.Exec(t.Context(), step); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the hub's role comes in by TLS, and by nothing else", 20*time.Second, func() error {
		if err := db.enter(t.Context(), "disable", ""); err == nil {
			return errors.New("it comes in without")
		}
		return db.enter(t.Context(), "require", "")
	})
}

// enter comes in as the hub would, and asks.
func (db *database) enter(ctx context.Context, mode, question string) error {
	conn, err := pgx.Connect(ctx, fmt.Sprintf("postgres://hub:%s@%s/hub?sslmode=%s", password, db.listener.Addr(), mode))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, question)
	return errors.Join(err, conn.Close(ctx))
}

// announce makes it a service of the namespace, as somebody would whose database is elsewhere, and gives the Secrets that the chart asks for.
func (db *database) announce(t *testing.T) {
	t.Helper()
	root := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(root, db.root, 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, "kubectl", "--namespace", central, "create", "secret", "generic", "database", "--from-literal=dsn=postgres://hub:"+password+"@database:5432/hub")
	must(t, "kubectl", "--namespace", central, "create", "secret", "generic", "database-root", "--from-file=ca.crt="+root)
	service := fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: database, namespace: %[1]s}
spec: {ports: [{port: 5432, targetPort: %[3]d}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: database, namespace: %[1]s, labels: {kubernetes.io/service-name: database}}
addressType: IPv4
endpoints: [{addresses: [%[2]q]}]
ports: [{port: %[3]d}]
`, central, machine(t), db.port())
	if out, err := do(t.Context(), place.kubeconfig, []byte(service), "kubectl", "create", "-f", "-"); err != nil {
		t.Fatalf("%s %v", out, err)
	}
}
