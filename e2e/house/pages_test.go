package house

import (
	"go/ast"
	"go/constant"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// testLink is how pages name a test: [`TestName`](../path/of/file_test.go).
var testLink = regexp.MustCompile("\\[`((?:Test|Fuzz)[A-Za-z0-9_]+)`\\]\\(\\.\\./([^)#]+)\\)")

// What a page says is held by a test is held by one.
func TestPagesNameTestsThatExist(t *testing.T) {
	sources := map[string]*ast.File{}
	for _, f := range tree(t) {
		sources[f.path] = f.ast
	}
	for _, name := range []string{"security.md", "protocol.md", "extending.md", "api.md"} {
		text := page(t, name)
		links := testLink.FindAllStringSubmatch(text, -1)
		if bare := strings.Count(text, "`Test") + strings.Count(text, "`Fuzz"); name == "security.md" && (bare != len(links) || bare < 50) {
			t.Errorf("%s: %d tests are named, %d of them with a link", name, bare, len(links))
		}
		for _, link := range links {
			source := sources[link[2]]
			if source == nil {
				t.Errorf("%s: %s is said to be in %s, which isn't there", name, link[1], link[2])
				continue
			}
			if !slices.ContainsFunc(source.Decls, func(d ast.Decl) bool { f, ok := d.(*ast.FuncDecl); return ok && f.Name.Name == link[1] }) {
				t.Errorf("%s: there is no %s in %s", name, link[1], link[2])
			}
		}
	}
}

// limitRow is a row of a table of limits: what, the value, where it is held.
var limitRow = regexp.MustCompile("(?m)^\\| ([^|]+) \\| ([0-9.]+) ?([A-Za-z]*) \\| `([^`]+)` ([A-Za-z.]+) \\|$")

var units = map[string]float64{
	"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "ms": 1e6, "s": 1e9, "min": 60e9, "h": 3600e9,
}

// The numbers of the page about the protocol are those of the program.
func TestLimitsOfTheProtocolAreTrue(t *testing.T) {
	constants := map[string]float64{}
	for _, f := range tree(t) {
		if !f.test {
			gather(constants, f)
		}
	}
	rows := limitRow.FindAllStringSubmatch(page(t, "protocol.md"), -1)
	if len(rows) < 30 {
		t.Fatalf("%d limits are told", len(rows))
	}
	for _, row := range rows {
		said, err := strconv.ParseFloat(row[2], 64)
		unit, known := units[row[3]]
		held, found := constants[row[4]+" "+row[5]]
		if err != nil || !known || !found || held != said*unit {
			t.Errorf("%s: %s %s by the page, %v in %s (there: %v)", row[1], row[2], row[3], held, row[4]+" "+row[5], found)
		}
	}
}

// gather notes the constants of a file by name, and the defaults that its functions give to fields, as Type.Field: by l.Field = v or
// l.Field = orDefault(l.Field, v), in a method of Type.
func gather(into map[string]float64, f file) {
	for _, decl := range f.ast.Decls {
		switch d := decl.(type) {
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				gatherConstants(into, f.pkg, d.Tok, spec)
			}
		case *ast.FuncDecl:
			if d.Recv == nil || d.Body == nil {
				continue
			}
			of, _ := d.Recv.List[0].Type.(*ast.Ident)
			if of == nil {
				continue
			}
			ast.Inspect(d.Body, func(n ast.Node) bool {
				if a, ok := n.(*ast.AssignStmt); ok && len(a.Lhs) == 1 {
					gatherDefault(into, f.pkg+" "+of.Name+".", a)
				}
				return true
			})
		}
	}
}

func gatherConstants(into map[string]float64, pkg string, tok token.Token, spec ast.Spec) {
	v, ok := spec.(*ast.ValueSpec)
	if !ok || tok != token.CONST {
		return
	}
	for i, name := range v.Names {
		if i < len(v.Values) {
			if value, ok := number(v.Values[i], into, pkg); ok {
				into[pkg+" "+name.Name] = value
			}
		}
	}
}

func gatherDefault(into map[string]float64, prefix string, a *ast.AssignStmt) {
	field, ok := a.Lhs[0].(*ast.SelectorExpr)
	if !ok {
		return
	}
	value := a.Rhs[0]
	for { // the innermost orDefault: what is around it only bounds it
		call, ok := value.(*ast.CallExpr)
		if !ok || len(call.Args) != 2 {
			break
		}
		if name, _ := call.Fun.(*ast.Ident); name != nil && name.Name == "orDefault" {
			value = call.Args[1]
			break
		}
		value = call.Args[0]
	}
	if v, ok := number(value, nil, ""); ok {
		into[prefix+field.Sel.Name] = v
	}
}

// number works out a constant expression of numbers, durations and constants told before it.
func number(e ast.Expr, known map[string]float64, pkg string) (float64, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		v, _ := constant.Float64Val(constant.ToFloat(constant.MakeFromLiteral(e.Value, e.Kind, 0)))
		return v, e.Kind == token.INT || e.Kind == token.FLOAT
	case *ast.Ident:
		v, ok := known[pkg+" "+e.Name]
		return v, ok
	case *ast.SelectorExpr:
		v, ok := map[string]float64{"Millisecond": 1e6, "Second": 1e9, "Minute": 60e9, "Hour": 3600e9}[e.Sel.Name]
		return v, ok
	case *ast.BinaryExpr:
		x, okX := number(e.X, known, pkg)
		y, okY := number(e.Y, known, pkg)
		switch e.Op {
		case token.MUL:
			return x * y, okX && okY
		case token.SHL:
			return x * float64(uint64(1)<<uint(y)), okX && okY
		case token.QUO:
			return x / y, okX && okY
		}
	}
	return 0, false
}
