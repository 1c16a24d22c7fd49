package relational

import (
	"context"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/store"
)

// Values implements store.Found. Letter case doesn't count in the prefix.
func (s *snapshot) Values(ctx context.Context, f store.Filter, key, prefix string, limit int) ([]store.Value, error) {
	_, a, err := s.access(ctx, f.View, f.Clusters)
	if err != nil || a.empty() {
		return nil, err
	}
	w, err := s.filtered(&a, &f)
	if err != nil {
		return nil, err
	}
	from, value, err := w.valuesOf(key)
	if err != nil {
		return nil, err
	}
	begins := w.dialect.Like(value, w.arg(likePattern(literal(prefix))+"%"))
	return s.values(ctx, `SELECT `+value+` AS word, count(*) FROM `+s.tables.resources+` r`+from+` WHERE `+w.String()+` AND `+value+` <> '' AND `+begins+
		` GROUP BY word ORDER BY 2 DESC, 1 LIMIT `+w.param(limit), w.args)
}

func (s *snapshot) values(ctx context.Context, sql string, args []any) ([]store.Value, error) {
	return queryAll(ctx, s.conn, func(rows Rows, v *store.Value) error { return rows.Scan(&v.Text, &v.Number) }, sql, args...)
}

// literal makes a pattern of a text.
func literal(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`).Replace(text)
}

// valuesOf gives what to join to a row r to get its values of a key, and the expression for them.
func (w *where) valuesOf(key string) (from, value string, err error) {
	if key == "kind" {
		return "", "(r.kind || CASE WHEN r.api_group = '' THEN '' ELSE '.' || r.api_group END)", nil
	}
	if expression, ok := termColumns[key]; ok {
		return "", expression, nil
	}
	if attr, ok := listed[key]; ok {
		return " CROSS JOIN " + w.dialect.Lateral + w.dialect.Words(w.dialect.Pair("r.attrs", w.param(attr))), "x.value", nil
	}
	if label, ok := strings.CutPrefix(key, store.LabelKey); ok {
		from = " CROSS JOIN " + w.dialect.Lateral + w.dialect.Pairs("r.labels")
		if label == "" {
			return from, "kv.key", nil
		}
		w.and(w.equal("kv.key", label))
		return from, "kv.value", nil
	}
	if attr, ok := strings.CutPrefix(key, store.AttrKey); ok && attr != "" {
		w.and(w.equal("kv.key", attr))
		return " CROSS JOIN " + w.dialect.Lateral + w.dialect.Pairs("r.attrs"), "kv.value", nil
	}
	return "", "", noKey(key)
}
