// Package bundle packs what a program tells of itself into one archive that its operator can send to somebody else: parts that fail are told, parts that
// are too large are cut, and what may not be seen is taken out of all of them.
package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// Part is one file of an archive.
type Part struct {
	Name string // with a suffix that tells what it is
	Make func(ctx context.Context, w io.Writer) error
	// Opaque says that it isn't text: it goes in as it is. It must hold nothing of what the program works on.
	Opaque bool
}

// maxPart bounds a part, in bytes; the rest of a larger one is left out, and its last line says so.
const maxPart = 16 << 20

// each bounds the making of a part.
const each = 20 * time.Second

// JSON makes a part of a value.
func JSON(name string, make func(context.Context) (any, error)) Part {
	return Part{Name: name, Make: func(ctx context.Context, w io.Writer) error {
		v, err := make(ctx)
		if err != nil {
			return err
		}
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}}
}

// Write packs the parts, one after the other, as a gzipped tar with a directory of that name. secrets are texts that are masked wherever they stand. A part that
// can't be made doesn't keep the others from being: its file says why.
func Write(ctx context.Context, w io.Writer, name string, secrets []string, parts ...Part) error {
	masked := newMask(secrets)
	z := gzip.NewWriter(w)
	archive := tar.NewWriter(z)
	now := time.Now()
	for _, p := range parts {
		if err := ctx.Err(); err != nil {
			return fault.Wrap(err, fault.Unavailable, "the bundle was broken off")
		}
		body := p.body(ctx, masked)
		head := tar.Header{Typeflag: tar.TypeReg, Name: name + "/" + p.Name, Mode: 0o600, Size: int64(len(body)), ModTime: now, Format: tar.FormatPAX}
		if err := archive.WriteHeader(&head); err != nil {
			return err
		}
		if _, err := archive.Write(body); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), z.Close())
}

func (p Part) body(ctx context.Context, masked *mask) []byte {
	ctx, cancel := context.WithTimeout(ctx, each)
	defer cancel()
	var out bounded
	err := p.Make(ctx, &out)
	if out.cut && p.Opaque {
		return nil // a half of it is of no use
	}
	if err != nil {
		fmt.Fprintf(&out.kept, "\nthis part could not be made: %v\n", err)
	} else if out.cut {
		fmt.Fprintf(&out.kept, "\nmore than %d bytes: the rest is left out\n", maxPart)
	}
	if p.Opaque && err == nil {
		return out.kept.Bytes()
	}
	return masked.take(out.kept.Bytes())
}

// bounded keeps the beginning of what is written.
type bounded struct {
	kept bytes.Buffer
	cut  bool
}

// Write implements io.Writer; it takes everything.
func (b *bounded) Write(p []byte) (int, error) {
	some := p
	if left := maxPart - b.kept.Len(); len(p) > left {
		b.cut = true
		some = p[:left]
	}
	b.kept.Write(some)
	return len(p), nil
}

// mask takes out what may not be seen: the secrets that are known, and what looks like one. Nothing should be left to it: no part asks for a secret. But a
// sentence of a library, or of a plugin, may hold one.
type mask struct{ known *strings.Replacer }

const stars = "********"

func newMask(secrets []string) *mask {
	var pairs []string
	// The longest first: what is part of another one must not take it apart.
	secrets = slices.Clone(secrets)
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	for _, s := range slices.Compact(secrets) {
		forms := []string{s}
		if text, err := json.Marshal(s); err == nil {
			forms = append(forms, string(text[1:len(text)-1]))
		}
		for _, f := range slices.Compact(forms) {
			if f != "" {
				pairs = append(pairs, f, stars)
			}
		}
	}
	if len(pairs) == 0 {
		return &mask{}
	}
	return &mask{strings.NewReplacer(pairs...)}
}

// looks are what credentials look like: ours, those of HTTP, of addresses, of PEM files, and JSON web tokens. What doesn't hold the word at all isn't looked at
// any closer, which is most of it.
var looks = []struct {
	word string
	form *regexp.Regexp
}{
	{"kb", regexp.MustCompile(`(kb[a-z][0-9]\.[0-9a-f]{24}\.)[A-Za-z0-9_.-]{8,}()`)},
	{"earer ", regexp.MustCompile(`([Bb]earer )[A-Za-z0-9._~+/=-]{8,}()`)},
	{"asic ", regexp.MustCompile(`([Bb]asic )[A-Za-z0-9+/=]{12,}()`)},
	{"@", regexp.MustCompile(`(://[^\s/@:"]*:)[^\s/@"]+(@)`)},
	{"PRIVATE KEY", regexp.MustCompile(`(-----BEGIN [A-Z ]*PRIVATE KEY-----)(?s:.*?)(-----END [A-Z ]*PRIVATE KEY-----)`)},
	{"eyJ", regexp.MustCompile(`()\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*()`)},
}

func (m *mask) take(text []byte) []byte {
	if m.known != nil {
		text = []byte(m.known.Replace(string(text)))
	}
	for _, look := range looks {
		if bytes.Contains(text, []byte(look.word)) {
			text = look.form.ReplaceAll(text, []byte("${1}"+stars+"${2}"))
		}
	}
	return text
}
