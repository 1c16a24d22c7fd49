package house

// rank is the floor a package lives on: it may import packages of lower floors only. The longest matching prefix counts.
var rank = map[string]int{
	"proto":              0,
	"migrations":         0,
	"charts":             0,
	"shared/topo":        0,
	"shared/fault":       0,
	"shared/conf":        0,
	"shared/version":     0,
	"shared/obs":         1,
	"shared/cli":         1,
	"shared/credential":  0,
	"shared/pgtest":      0,
	"shared/fields":      1,
	"shared/health":      1,
	"shared/rules":       2,
	"shared/reduce":      3,
	"shared/wire":        1,
	"shared/tunnel":      1,
	"shared/join":        2,
	"shared/plugin":      1,
	"shared/kube":        1,
	"hub/internal/fleet": 1,
	"hub/internal/store": 2,

	"hub/internal/store/relational": 3,
	"hub/internal/throttle":         1,
	"hub/internal/turn":             3,

	"hub/internal/layout":             1,
	"hub/internal/search":             3,
	"hub/internal":                    4,
	"hub/internal/store/historybench": 5,
	"hub/internal/store/ingestbench":  5,
	"hub/internal/store/bigstore":     5,
	"hub/internal/follow":             3,
	"hub/internal/store/sqlite":       4,
	"hub/internal/store/postgres":     4,
	"hub/internal/export":             5,
	"hub/internal/notify":             5,
	"hub/internal/query/querybench":   6,
	"hub/internal/command":            5,
	"hub/internal/audit":              3,
	"hub/internal/ops":                5,
	"hub/internal/pods":               5,
	"hub/internal/kubefleet":          5,
	"hub/internal/httpapi":            6,
	"hub":                             7,
	"hub/desktop":                     8,
	"hub/cmd":                         9,

	"agent/internal":  4,
	"agent":           6,
	"agent/cmd":       7,
	"agent/agenttest": 7,

	"e2e": 10,
}

// beside lists the imports on one floor that are meant, with the reason.
var beside = map[string]string{
	"shared/topo/topotest -> shared/topo":          "the scenario language drives the engine",
	"shared/tunnel/tunneltest -> shared/tunnel":    "certificates and relays for tests of tunnels",
	"shared/fault/httpfault -> shared/fault":       "one table from codes to statuses",
	"shared/fault/grpcfault -> shared/fault":       "one table from codes to statuses",
	"shared/conf -> shared/fault":                  "a wrong key is a fault",
	"hub/internal/live -> hub/internal/query":      "frames word a row as lists do",
	"hub/internal/store/storetest -> hub/internal": "the conformance suite",
}

// forbidden are direct imports with the reason why not. Keys are "importer prefix -> import prefix"; an importer of "" is every package of
// ours but those listed in except.
var forbidden = []struct {
	from, to, why string
	except        []string
}{
	{"shared/topo", "github.com/", "the engine is a pure machine over the standard library", []string{"shared/topo/topotest"}},
	{"shared/topo", "k8s.io/", "the engine is a pure machine over the standard library", nil},
	{"agent", "database/sql", "an agent keeps no database", nil},
	{"agent", "modernc.org/sqlite", "an agent keeps no database", nil},
	{"agent", "github.com/jackc/pgx", "an agent keeps no database", nil},
	{"hub/internal/query", "net/http", "what is asked doesn't depend on how it was asked", nil},
	{"", "github.com/spf13/viper", "configuration is a typed, read-only struct everywhere else", []string{"shared/conf"}},
	{"", "github.com/jackc/pgx", "SQL leaves at one door", []string{"hub/internal/store", "e2e"}},
	{"", "modernc.org/sqlite", "SQL leaves at one door", []string{"hub/internal/store", "e2e"}},
	{"", "database/sql", "SQL leaves at one door", []string{"hub/internal/store", "e2e"}},
	{"", "k8s.io/client-go/informers", "Kubernetes comes in at one door", []string{"agent/internal/watch"}},
	{"", "k8s.io/client-go/tools/cache", "Kubernetes comes in at one door", []string{"agent/internal/watch", "e2e"}},
}

// bannedNames say nothing about what lives in them.
var bannedNames = []string{"util", "utils", "common", "core", "models", "types", "helpers", "misc"}

// topLevel is everything that may stand beside the house, but for dot-files and bin, which make build fills and git ignores.
var topLevel = []string{"hub", "agent", "shared", "proto", "charts", "migrations", "e2e", "docs", "go.work", "go.work.sum", "Makefile", "README.md", "LICENSE", "bin"}

const (
	maxFileLines = 800
	maxFuncLines = 100
)
