package relational

import (
	"context"
	"time"
)

// sources are what a snapshot's queries select from, in the places of the tables: the tables themselves, or what stands for their rows at a past position.
// There, open and closed are the two parts of resources, each of which is listed in order by itself.
type sources struct {
	resources, edges, labels, manifests string
	open, closed                        string
}

var current = sources{resources: "resources", edges: "edges", labels: "labels", manifests: "manifests", open: "resources"}

// parts are what is listed in order.
func (s *sources) parts() []string {
	if s.closed == "" {
		return []string{s.open}
	}
	return []string{s.open, s.closed}
}

// pin has the snapshot's queries select from what stands for the rows at its position.
func (s *snapshot) pin(ctx context.Context, name string) error {
	pos, err := s.sql.Pin(ctx, s.conn, name, int64(s.pos))
	if err == nil {
		s.tables = s.sql.pastSources(pos, days{s.at, s.newest})
	}
	return err
}

// days are when versions that a query means can have been closed: not before one instant, nor after another.
type days struct{ first, last time.Time }

// What closed versions h have for the columns of resources. See closed.go for what they leave out; raw is what is kept.
func (d *Dialect) closedCells(when days) string {
	inherited := func(column string) string { return d.inherited("x."+column, "y."+column, when) }
	return `f.api_group, f.kind, f.namespace, f.name, ` + d.PastUID + ` AS uid, h.version, ` + d.PastPresence + ` AS presence, ` + d.PastHealth + ` AS health,
	h.status, h.created, coalesce(nullif(CASE WHEN h.labels <> '' THEN h.labels ELSE ` + inherited("labels") + ` END, '{}'), '') AS labels, ` + d.PastAttrs(inherited) + ` AS attrs`
}

// inherited gives what a closed version h that leaves something out has of it: that of the first version x after it that keeps it, else the current row y's.
func (d *Dialect) inherited(x, y string, when days) string {
	return `coalesce((SELECT ` + x + ` FROM resources_history x WHERE x.tenant_id = h.tenant_id AND x.cluster_id = h.cluster_id AND x.id = h.id
		AND x.valid_to > h.valid_to AND x.labels <> ''` + d.Closed("x", when.first, when.last) + ` ORDER BY x.valid_to LIMIT 1),
	(SELECT ` + y + ` FROM resources y WHERE y.tenant_id = h.tenant_id AND y.cluster_id = h.cluster_id AND y.id = h.id), '')`
}

const closedNodes = ` FROM resources_history h JOIN refs f ON f.tenant_id = h.tenant_id AND f.cluster_id = h.cluster_id AND f.id = h.id`

// rawLabels is what a version h keeps of its labels in the form of a current row; whole tells whether it leaves nothing out.
const rawLabels, whole = `CASE WHEN h.labels = '{}' THEN '' ELSE h.labels END`, `CASE WHEN h.labels <> '' THEN 1 ELSE 0 END`

// pastSources are what stands for the rows at a position: current rows that were so already, and closed ones that were so still.
func (d *Dialect) pastSources(p string, when days) sources {
	spans := ` WHERE h.valid_from <= ` + p + ` AND h.valid_to > ` + p + d.Closed("h", when.first, when.last)
	now := `SELECT c.tenant_id, c.cluster_id, c.id, c.api_group, c.kind, c.namespace, c.name, c.uid, c.version, c.presence, c.health, c.status, c.created,
		c.labels, c.attrs, c.labels AS raw_labels, c.attrs AS raw_attrs, 1 AS whole, c.app, c.valid_from FROM resources c WHERE c.valid_from <= ` + p
	app := func(column string) string { return `coalesce(` + d.Pair(column, "'app'") + `, '')` }
	then := `SELECT h.tenant_id, h.cluster_id, h.id, ` + d.closedCells(when) + `, ` + rawLabels + ` AS raw_labels, h.attrs AS raw_attrs, ` + whole + ` AS whole,
		CASE WHEN h.labels <> '' THEN ` + app("h.attrs") + ` ELSE ` + d.inherited(app("x.attrs"), "y.app", when) + ` END AS app, h.valid_from` + closedNodes + spans
	const edge, label = `tenant_id, cluster_id, source, id, target, rule, type, disc, path, attrs, valid_from`, `tenant_id, cluster_id, id, key, value, valid_from`
	return sources{
		resources: `(` + now + ` UNION ALL ` + then + `)`,
		open:      `(` + now + `)`,
		closed:    `(` + then + `)`,
		edges:     `(SELECT ` + edge + ` FROM edges WHERE valid_from <= ` + p + ` UNION ALL SELECT ` + edge + ` FROM edges_history h` + spans + `)`,
		labels:    `(SELECT ` + label + ` FROM labels WHERE valid_from <= ` + p + ` UNION ALL SELECT ` + label + ` FROM labels_history h` + spans + `)`,
		manifests: pastManifests,
	}
}

// pastManifests stand for the manifests at position $4. Each is looked for by its key, so the day need not be known.
const (
	pastManifests = `(SELECT ` + manifestCells + ` FROM manifests WHERE valid_from <= CAST($4 AS bigint) UNION ALL SELECT ` + manifestCells + ` FROM manifests_history
		WHERE valid_from <= CAST($4 AS bigint) AND valid_to > CAST($4 AS bigint))`
	manifestCells = `tenant_id, cluster_id, id, hash, body`
)
