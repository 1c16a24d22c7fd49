// Package desktop is the hub for one person at one machine: it runs a hub and, for each context of the kubeconfig, an agent in one process, and shows
// them to that person alone. It is the one place where hub and agent meet.
package desktop

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub"
	"github.com/kubilitics/kubilitics/shared/credential"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

// Config is all that can be said to the desktop, and nothing of it must be. Keys, flags and variables come from its tags.
type Config struct {
	Kubeconfig  string    `conf:"kubeconfig" usage:"kubeconfig file, or several as in $KUBECONFIG; $KUBECONFIG or ~/.kube/config if empty"`
	Listen      string    `conf:"listen" usage:"address of the page and the API, host:port; only this machine's own are taken, port 0 is one that is free"`
	DataDir     string    `conf:"data-dir" usage:"directory of the database; the platform's for data of programs if empty"`
	NoOpen      bool      `conf:"no-open" usage:"don't open the browser"`
	ParentPID   int       `conf:"parent-pid" usage:"end when the process with this id does, or closes the pipe that is standard input; 0 is none"`
	CORSOrigins []string  `conf:"cors-origins" usage:"origins of pages beside its own that may call the API, such as tauri://localhost"`
	Log         LogConfig `conf:"log"`
}

// LogConfig is about the log.
type LogConfig struct {
	Level  string `conf:"level" usage:"debug, info, warn or error"`
	Format string `conf:"format" usage:"json or text"`
}

// DefaultConfig is what holds where nothing is said.
func DefaultConfig() Config {
	return Config{Listen: "127.0.0.1:0", Log: LogConfig{Level: "warn", Format: "text"}}
}

// Desktop is a desktop that has opened its database and its listener, and serves once it runs.
type Desktop struct {
	cfg      Config
	log      *zap.Logger
	pipe     tunnel.Pipe
	hub      *hub.Hub
	lock     *lock
	contacts *contacts
	contexts *contexts
	door     *door
	ready    Ready
}

// Ready is what whoever starts a desktop is told: the one line on standard output, and the note in the data directory.
type Ready struct {
	URL     string `json:"url"`            // of the API and the page: http://127.0.0.1:port
	Port    int    `json:"port"`           // of it
	Token   string `json:"token"`          // of this launch: Authorization: Bearer
	Open    string `json:"open,omitempty"` // the page, let in once
	PID     int    `json:"pid"`
	Running bool   `json:"running,omitempty"` // it was there before
}

// The times and names of the desktop.
const (
	agentsEnd      = 3 * time.Second      // what agents have to end in
	tokenLife      = 24 * time.Hour       // of join tokens, which a cluster that doesn't answer yet isn't in need of
	certificates   = 365 * 24 * time.Hour // their keys end with this process, and it may sleep for weeks
	lookEvery      = time.Second          // at the files of the kubeconfig
	silentFor      = 5 * time.Second      // until a cluster that says nothing is said to be silent
	firstRetry     = time.Second          // of an agent that failed for good
	lastRetry      = 30 * time.Second
	instanceFile   = "desktop.json"
	lockFile       = "desktop.lock"
	contextLabel   = "kubilitics.io/context"
	dialPatience   = 5 * time.Second
	maxClusterName = 253
)

// New opens a desktop. Another one that runs on the same data is an AlreadyRunning. Close or Run must follow.
func New(ctx context.Context, cfg Config, log *zap.Logger) (*Desktop, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, fault.Wrap(err, fault.BadRequest, "the data directory %s can't be made", cfg.DataDir)
	}
	held, err := acquire(filepath.Join(cfg.DataDir, lockFile))
	if errors.Is(err, errHeld) {
		return nil, another(ctx, cfg.DataDir)
	}
	if err != nil {
		return nil, err
	}
	d := &Desktop{cfg: cfg, log: log, lock: held, pipe: tunnel.NewPipe(), contacts: newContacts()}
	if err := d.open(ctx); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Desktop) open(ctx context.Context) (err error) {
	token := credential.New(credential.API)
	d.door = newDoor(token, d.cfg.CORSOrigins)
	d.hub, err = hub.Embed(ctx, d.hubConfig(), hub.Embedding{
		Tunnels: d.pipe.Listener, Token: token.Text(), Guard: d.door.guard, Contacts: d.contacts,
	}, d.log)
	if err != nil {
		return err
	}
	d.contexts = newContexts(d, newKubeconfig(d.cfg.Kubeconfig))
	d.door.kubeconfig = d.contexts.status
	if err := d.contexts.begin(ctx); err != nil {
		return err
	}
	at := d.hub.APIURL()
	d.door.at(portOf(at))
	d.ready = Ready{URL: at, Port: portOf(at), Token: token.Text(), Open: d.door.link(), PID: os.Getpid()}
	return note(filepath.Join(d.cfg.DataDir, instanceFile), d.ready)
}

func portOf(address string) int {
	u, err := url.Parse(address)
	if err != nil {
		return 0
	}
	port, _ := strconv.Atoi(u.Port())
	return port
}

// hubConfig is that of a hub for one person: what it would listen on for agents, and offer to others, isn't there.
func (d *Desktop) hubConfig() hub.Config {
	cfg := hub.DefaultConfig()
	cfg.Listen, cfg.DataDir, cfg.CORSOrigins = d.cfg.Listen, d.cfg.DataDir, d.cfg.CORSOrigins
	cfg.CA.Lifetime, cfg.CA.TokenLife = certificates, tokenLife
	return cfg
}

// Ready is what to tell whoever started this.
func (d *Desktop) Ready() Ready { return d.ready }

// Run serves until ctx ends or something fails for good, and returns when all of it has stopped: agents first, then the hub.
func (d *Desktop) Run(ctx context.Context) error {
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	served := make(chan error, 1)
	go func() { served <- d.hub.Run(serving) }()
	following, end := context.WithCancel(ctx)
	defer end()
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		d.contexts.run(following)
	}()
	var err error
	select {
	case <-ctx.Done():
	case err = <-served:
		served <- nil
	}
	end()
	<-followed
	stop()
	return errors.Join(err, <-served, d.leave()) // the hub has closed itself
}

// Close lets go of what New opened, where Run, which does it too, isn't called.
func (d *Desktop) Close() error {
	var err error
	if d.hub != nil {
		err = d.hub.Close()
	}
	return errors.Join(err, d.leave())
}

// leave makes way for the next desktop.
func (d *Desktop) leave() error {
	_ = os.Remove(filepath.Join(d.cfg.DataDir, instanceFile)) // it may not be there yet
	return d.lock.release()
}

// complete fills in what is empty, and finds what can't be right.
func (c *Config) complete() error {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fault.New(fault.BadRequest, "listen: %q is no host:port", c.Listen).WithField("listen", "is no host:port")
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fault.New(fault.BadRequest, "listen: %q isn't this machine's own: the desktop is for one person, and takes 127.0.0.1, ::1 or localhost", c.Listen).
			WithField("listen", "isn't this machine's own")
	}
	for _, o := range c.CORSOrigins {
		if o == "*" {
			return fault.New(fault.BadRequest, "cors-origins: on the desktop each origin must be named").WithField("cors-origins", "must be named")
		}
	}
	if c.DataDir != "" {
		return nil
	}
	c.DataDir, err = dataDir()
	return err
}
