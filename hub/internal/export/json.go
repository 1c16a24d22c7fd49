package export

import (
	"bufio"
	"encoding/json"

	"github.com/kubilitics/kubilitics/hub/internal/query"
)

// jsonEncoder writes what the API answers, as one graph: nodes, edges, then position, freshness and what is left out. The edges wait for the last
// node in a spool.
type jsonEncoder struct {
	w     *bufio.Writer
	spool *spool
	nodes int
	edges int
}

func (j *jsonEncoder) begin(*query.Graph) error {
	j.spool = &spool{}
	_, err := j.w.WriteString("{\"nodes\":[")
	return err
}

func (j *jsonEncoder) node(n *query.GraphNode) error {
	text, err := json.Marshal(n)
	if err != nil {
		return err
	}
	_, err = j.w.WriteString(comma(j.nodes))
	j.nodes++
	if err == nil {
		_, err = j.w.Write(text)
	}
	return err
}

func comma(before int) string {
	if before == 0 {
		return "\n"
	}
	return ",\n"
}

func (j *jsonEncoder) edge(e *query.Edge) error {
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	text = append([]byte(comma(j.edges)), text...)
	j.edges++
	return j.spool.write(text)
}

func (j *jsonEncoder) end(whole *query.Graph) error {
	rest := struct {
		query.Meta
		Truncated *query.Truncation `json:"truncated,omitempty"`
	}{whole.Meta, whole.Truncated}
	text, err := json.Marshal(rest)
	if err != nil {
		return err
	}
	if _, err = j.w.WriteString("\n],\n\"edges\":["); err != nil {
		return err
	}
	if err = j.spool.copy(j.w); err != nil {
		return err
	}
	if _, err = j.w.WriteString("\n],\n"); err != nil {
		return err
	}
	_, err = j.w.Write(append(text[1:], '\n'))
	return err
}

// Close lets go of the spool.
func (j *jsonEncoder) Close() error { return j.spool.close() }
