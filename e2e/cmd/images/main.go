// Command images makes the container images of both programs, from the source as it stands, without a container engine: OCI layouts for several
// platforms, docker-archives and bills of materials. With --push it sends them to a registry.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/kubilitics/kubilitics/e2e/image"
	"github.com/kubilitics/kubilitics/e2e/stack"
)

type options struct {
	out, push, version  string
	programs, platforms string
	plain               bool
}

func main() {
	var o options
	flag.StringVar(&o.out, "out", "bin/images", "directory to write to")
	flag.StringVar(&o.push, "push", "", "also send them to REGISTRY/kubilitics-…:TAG, with the credentials that docker login has left")
	flag.StringVar(&o.version, "version", "", "version of the programs; what git describes if empty")
	flag.StringVar(&o.programs, "programs", "kubilitics-agent,kubilitics-hub", "which programs")
	flag.StringVar(&o.platforms, "platforms", "linux/amd64,linux/arm64", "for which platforms")
	flag.BoolVar(&o.plain, "plain-http", false, "the registry speaks no TLS")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "Usage: images [--push REGISTRY]\n\nWrites NAME (an OCI layout), NAME-OS-ARCH.tar (for docker load) and NAME-OS-ARCH.cdx.json (what is in it) for each program.\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, out io.Writer) error {
	r, err := release(ctx, o.version)
	if err != nil {
		return err
	}
	if o.push != "" {
		if err := fits(r); err != nil {
			return err
		}
	}
	var over []error
	for _, program := range strings.Split(o.programs, ",") {
		s, err := r.Set(ctx, program, strings.Split(o.platforms, ",")...)
		if err != nil {
			return err
		}
		if err := s.Save(o.out); err != nil {
			return err
		}
		if err := tell(out, s, o.out); err != nil {
			return err
		}
		over = append(over, s.Check())
		if o.push == "" {
			continue
		}
		if err := push(ctx, out, s, o); err != nil {
			return err
		}
	}
	return errors.Join(over...)
}

func tell(out io.Writer, s *image.Set, dir string) error {
	digest, err := s.Digest()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s:%s %s\n", s.Name, s.Tag, digest)
	for _, m := range s.Members {
		fmt.Fprintf(out, "  %-12s %s %.1f MB\n", m.Platform, m.Digest, float64(m.Size)/1e6)
	}
	fmt.Fprintf(out, "  docker load -i %s\n", filepath.Join(dir, s.Name+"-linux-ARCH.tar"))
	fmt.Fprintf(out, "  helm … --set image.repository=localhost/%s --set image.tag=%s\n", s.Name, s.Tag)
	return nil
}

func push(ctx context.Context, out io.Writer, s *image.Set, o options) error {
	var with []name.Option
	if o.plain {
		with = append(with, name.Insecure)
	}
	digest, err := s.Push(ctx, o.push, with...)
	if err == nil {
		fmt.Fprintf(out, "  pushed %s/%s:%s@%s\n", o.push, s.Name, s.Tag, digest)
	}
	return err
}

// release is the version that is asked for, else the one that git tells, and the commit it is of.
func release(ctx context.Context, version string) (r image.Release, err error) {
	if r.Source, err = stack.Source(); err != nil {
		return r, err
	}
	git := func(args ...string) string {
		said, err := exec.CommandContext(ctx, "git", append([]string{"-C", r.Source}, args...)...).Output()
		if err != nil {
			return "" // a source without its history has no revision
		}
		return strings.TrimSpace(string(said))
	}
	if r.Version = version; version == "" {
		r.Version = git("describe", "--tags", "--always", "--dirty")
	}
	if r.Version == "" {
		r.Version = "dev"
	}
	r.Revision = git("rev-parse", "HEAD")
	if at, err := time.Parse(time.RFC3339, git("show", "-s", "--format=%cI", "HEAD")); err == nil {
		r.Time = at
	}
	return r, nil
}

var appVersion = regexp.MustCompile(`(?m)^appVersion: "?([^"\s]+)"?$`)

// fits refuses to send a release that the charts would not ask for.
func fits(r image.Release) error {
	tag := strings.TrimPrefix(r.Version, "v")
	if tag == r.Version { // no release
		return nil
	}
	for _, chart := range []string{"kubilitics-agent", "kubilitics-hub"} {
		text, err := os.ReadFile(filepath.Join(r.Source, "charts", chart, "Chart.yaml"))
		if err != nil {
			return err
		}
		said := appVersion.FindSubmatch(text)
		if said == nil || string(said[1]) != tag {
			return fmt.Errorf("charts/%s has another appVersion than %s: it would ask for an image that isn't there", chart, tag)
		}
	}
	return nil
}
