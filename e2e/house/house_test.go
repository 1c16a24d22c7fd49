package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/kubilitics/kubilitics/"

// file is one Go file of ours.
type file struct {
	path    string // from the root
	pkg     string // directory from the root
	test    bool
	ast     *ast.File
	lines   int
	set     *token.FileSet
	written bool // not generated
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("go.work is in no directory above this one")
		}
		dir = filepath.Dir(dir)
	}
}

// tree parses every Go file of the tree.
func tree(t *testing.T) []file {
	t.Helper()
	top := root(t)
	var out []file
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != top || d.Name() == "testdata" || d.Name() == "node_modules" || d.Name() == "programs"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go"):
			return nil
		}
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, path)
		if err != nil {
			return err
		}
		out = append(out, file{
			path: rel, pkg: filepath.Dir(rel), test: strings.HasSuffix(rel, "_test.go"), ast: parsed, set: set,
			lines: set.File(parsed.Pos()).LineCount(), written: !ast.IsGenerated(parsed),
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 50 {
		t.Fatalf("only %d Go files found: the walk has lost its way", len(out))
	}
	return out
}

// floor finds the rank of a package by its longest listed prefix.
func floor(pkg string) (int, bool) {
	for p := pkg; p != "." && p != "/"; p = filepath.Dir(p) {
		if r, ok := rank[p]; ok {
			return r, true
		}
	}
	return 0, false
}

func within(pkg, prefix string) bool {
	return prefix == "" || pkg == prefix || strings.HasPrefix(pkg, prefix+"/")
}

func imports(f file) []string {
	var out []string
	for _, i := range f.ast.Imports {
		out = append(out, strings.Trim(i.Path.Value, `"`))
	}
	return out
}

func TestImportsRunDownwards(t *testing.T) {
	for _, f := range tree(t) {
		if f.test {
			continue
		}
		own, ok := floor(f.pkg)
		if !ok {
			t.Errorf("%s: the package has no floor in rank", f.path)
		}
		for _, path := range imports(f) {
			target, ours := strings.CutPrefix(path, module)
			if !ours {
				continue
			}
			theirs, _ := floor(target)
			if theirs >= own && !meant(f.pkg, target) {
				t.Errorf("%s (floor %d) imports %s (floor %d): imports run downwards", f.path, own, target, theirs)
			}
		}
	}
}

// meant tells whether an import on one floor is listed, or stays within one room.
func meant(from, to string) bool {
	if from != to && (within(from, to) || within(to, from)) && strings.Count(to, "/") > 0 {
		return true
	}
	for pair := range beside {
		a, b, _ := strings.Cut(pair, " -> ")
		if within(from, a) && within(to, b) {
			return true
		}
	}
	return from == "e2e" || strings.HasPrefix(from, "e2e/")
}

func TestHubAndAgentNeverMeet(t *testing.T) {
	for _, f := range tree(t) {
		for _, path := range imports(f) {
			target, ours := strings.CutPrefix(path, module)
			if !ours || within(f.pkg, "hub/desktop") {
				continue
			}
			if within(f.pkg, "hub") && within(target, "agent") || within(f.pkg, "agent") && within(target, "hub") {
				t.Errorf("%s imports %s: hub and agent meet in the desktop command and in e2e alone", f.path, target)
			}
		}
	}
}

func TestForbiddenImports(t *testing.T) {
	for _, f := range tree(t) {
		for _, path := range imports(f) {
			for _, rule := range forbidden {
				excepted := slices.ContainsFunc(rule.except, func(e string) bool { return within(f.pkg, e) })
				if f.test || excepted || !within(f.pkg, rule.from) || strings.HasPrefix(path, module) || !strings.HasPrefix(path, rule.to) {
					continue
				}
				t.Errorf("%s imports %s: %s", f.path, path, rule.why)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	documented, name := map[string]bool{}, map[string]string{}
	for _, f := range tree(t) {
		if f.test || !f.written && f.ast.Name.Name != "main" {
			if !f.written {
				documented[f.pkg] = true
			}
			continue
		}
		name[f.pkg] = f.ast.Name.Name
		if doc := f.ast.Doc.Text(); strings.HasPrefix(doc, "Package ") || strings.HasPrefix(doc, "Command ") {
			documented[f.pkg] = true
		}
	}
	for pkg, n := range name {
		if !documented[pkg] {
			t.Errorf("%s has no sentence that says what it is for", pkg)
		}
		if slices.Contains(bannedNames, n) {
			t.Errorf("%s is called %s, which says nothing", pkg, n)
		}
	}
}

func TestFilesAndFunctionsStayReadable(t *testing.T) {
	for _, f := range tree(t) {
		if !f.written {
			continue
		}
		if f.lines > maxFileLines {
			t.Errorf("%s has %d lines, more than %d", f.path, f.lines, maxFileLines)
		}
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || f.test {
				continue
			}
			if n := f.set.Position(fn.End()).Line - f.set.Position(fn.Pos()).Line; n > maxFuncLines {
				t.Errorf("%s: %s has %d lines, more than %d", f.path, fn.Name.Name, n, maxFuncLines)
			}
		}
	}
}

func TestTopLevel(t *testing.T) {
	entries, err := os.ReadDir(root(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(topLevel, e.Name()) {
			t.Errorf("%s has no place at the top level", e.Name())
		}
	}
}

// What is generated is checked in, and is what the definitions give today.
func TestGeneratedIsFresh(t *testing.T) {
	top := root(t)
	out := t.TempDir()
	cmd := exec.Command("go", "tool", "-modfile=../.tools/go.mod", "buf", "generate", "-o", out)
	cmd.Dir = filepath.Join(top, "proto")
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("buf generate: %v\n%s", err, b)
	}
	n := 0
	err := filepath.WalkDir(out, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		rel, _ := filepath.Rel(out, path)
		fresh, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		kept, err := os.ReadFile(filepath.Join(top, "proto", rel))
		if err != nil || string(kept) != string(fresh) {
			t.Errorf("proto/%s is stale: run make generate", rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n == 0 {
		t.Fatal("nothing was generated")
	}
}
