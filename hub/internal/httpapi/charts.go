package httpapi

import (
	"bytes"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"

	"github.com/kubilitics/kubilitics/hub/internal/enroll"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// chartsPath is the hub's own Helm repository, for clusters that reach no other.
const chartsPath = "/charts"

// helmCA is the file that the command to install by Helm names where helm must be told whom to trust.
const helmCA = "kubilitics-hub.crt"

// HelmInstall words the command that installs the agent from a repository. caFile is "" where helm knows whom to trust.
type HelmInstall func(i enroll.Invitation, repository, caFile string) string

// charts serves the repository to everybody: it is the same in every copy of this program. What is sent lies ready.
func (a *API) charts(r chi.Router) {
	files := map[string]served{}
	if c := a.cfg.Charts; c != nil {
		files["index.yaml"] = served{"application/yaml", `"index-` + c.Digest + `"`, c.Index}
		files[c.File] = served{"application/gzip", `"` + c.Digest + `"`, c.Packed}
	}
	r.Get(chartsPath+"/{file}", func(w http.ResponseWriter, r *http.Request) {
		file, ok := files[chi.URLParam(r, "file")]
		if err := checkParameters(r, nil); err != nil {
			a.fail(w, r, err)
			return
		}
		if !ok {
			a.fail(w, r, fault.New(fault.NotFound, "there is nothing at %s", r.URL.Path))
			return
		}
		w.Header().Set("Content-Type", file.contentType)
		w.Header().Set("ETag", file.tag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file.text))
	})
}

type served struct {
	contentType, tag string
	text             []byte
}

func chartsOperation() *huma.Operation {
	return &huma.Operation{
		Method: http.MethodGet, Path: chartsPath + "/{file}", OperationID: "charts", Tags: []string{"system"}, Security: []map[string][]string{},
		Summary:    "A Helm repository with the agent's chart: index.yaml, and the chart that it names",
		Parameters: []*huma.Param{{Name: "file", In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}}},
		Responses:  answers("application/octet-stream", "The file"),
	}
}

// Reached notes how a request came, for answers that say how to come here.
type Reached struct{ server serverAddress }

// Resolve notes it.
func (in *Reached) Resolve(ctx huma.Context) []error {
	in.server = serverAddress{host: ctx.Host(), peer: ctx.RemoteAddr(), proto: strings.ToLower(ctx.Header("X-Forwarded-Proto")), outside: ctx.Header("X-Forwarded-Host")}
	return nil
}

// helm adds to an answer how the agent is installed by Helm from here. Where it isn't known how to come here, the answer is without.
func (a *API) helm(i enroll.Invitation, from serverAddress, out *Invited) {
	if a.cfg.HelmInstall == nil {
		return
	}
	root, ca, err := a.publicAddress(from)
	if err != nil {
		return
	}
	file := ""
	if len(ca) > 0 {
		file, out.HelmCA = helmCA, string(ca)
	}
	out.Helm = a.cfg.HelmInstall(i, root+chartsPath, file)
}
