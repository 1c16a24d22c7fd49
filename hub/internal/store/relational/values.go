package relational

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/store"
)

// Values of more rows than this are estimated from about so many of them, where no index knows them.
const sampledRows = 50000

// Values implements store.Found. Letter case doesn't count in the prefix.
func (s *snapshot) Values(ctx context.Context, f store.Filter, key, prefix string, limit int) ([]store.Value, error) {
	_, a, err := s.access(ctx, f.View, f.Clusters)
	if err != nil || a.empty() {
		return nil, err
	}
	v := &valuing{s: s, a: &a, f: &f, key: key, prefix: prefix, limit: limit}
	label, isLabel := strings.CutPrefix(key, store.LabelKey)
	switch {
	case s.keeps() && countable(&f) && slices.Contains([]string{"kind", "namespace", "group"}, key):
		return v.counted(ctx)
	case !s.walks():
		return v.of(ctx, s.tables.resources, 1)
	case isLabel && a.every && len(f.Kinds)+len(f.Namespaces)+len(f.Names)+len(f.Labels)+len(f.Fields)+len(f.Terms) == 0:
		return v.labels(ctx, label)
	}
	size, err := s.size(ctx, &a, &f)
	if err != nil || size <= max(int64(s.sql.FewRows), 0)*10 {
		return v.some(ctx, err)
	}
	return v.many(ctx, size)
}

// valuing is one call of Values.
type valuing struct {
	s      *snapshot
	a      *access
	f      *store.Filter
	key    string
	prefix string
	limit  int
}

func (v *valuing) some(ctx context.Context, err error) ([]store.Value, error) {
	if err != nil {
		return nil, err
	}
	return v.of(ctx, v.s.tables.resources, 1)
}

// many asks an index for rows that may have such values, or looks at a part of all.
func (v *valuing) many(ctx context.Context, size int64) ([]store.Value, error) {
	w, err := v.s.filtered(v.a, v.f)
	if err != nil {
		return nil, err
	}
	start := lowered(v.prefix)
	known := v.key == store.ImageKey || v.key == store.IPKey || strings.HasPrefix(v.key, store.LabelKey) && v.key != store.LabelKey
	switch {
	case v.s.sql.Texts && v.key == "name" && start != "":
		condition := "x.name >= " + w.param(start) + " AND x.name < " + w.param(start+"\U0010FFFF") + " ORDER BY x.name LIMIT " + w.param(namesRead)
		return v.from(ctx, lookUp(condition, w)+")", w.apart(), 1)
	case v.s.sql.Texts && known && indexable([]string{literal(start)}, byLetters):
		condition := "x.texts LIKE " + w.param("%"+likePattern(literal(start))+"%") + ` ESCAPE '\'`
		return v.from(ctx, lookUp(condition, w)+" LIMIT "+w.param(hitsRead)+")", w.apart(), 1)
	}
	all, err := v.s.size(ctx, &access{every: true}, &store.Filter{})
	if err != nil || size < all/5 || size <= sampledRows {
		return v.some(ctx, err)
	}
	part := max(100*sampledRows/size, 1)
	return v.of(ctx, "(SELECT r.* FROM resources r TABLESAMPLE SYSTEM ("+strconv.FormatInt(part, 10)+"))", 100/part)
}

// of counts the values of the rows that the filter means, of what stands for the rows.
func (v *valuing) of(ctx context.Context, table string, each int64) ([]store.Value, error) {
	w, err := v.s.filtered(v.a, v.f)
	if err != nil {
		return nil, err
	}
	return v.from(ctx, table, w, each)
}

func (v *valuing) from(ctx context.Context, table string, w *where, each int64) ([]store.Value, error) {
	joined, value, err := w.valuesOf(v.key)
	if err != nil {
		return nil, err
	}
	return v.s.values(ctx, `SELECT `+value+` AS word, `+w.param(each)+` * count(*) FROM `+table+` r`+joined+` WHERE `+w.String()+` AND `+value+` <> '' AND `+v.begins(w, value)+
		` GROUP BY word ORDER BY 2 DESC, 1 LIMIT `+w.param(v.limit), w.args)
}

func (v *valuing) begins(w *where, value string) string {
	return w.dialect.Like(value, w.arg(likePattern(literal(v.prefix))+"%"))
}

// counted asks the kept counts.
func (v *valuing) counted(ctx context.Context) ([]store.Value, error) {
	f := *v.f
	f.Placeholders = true // rows of counts are no placeholders
	w, err := v.s.filtered(v.a, &f)
	if err != nil {
		return nil, err
	}
	_, value, err := w.valuesOf(v.key)
	if err != nil {
		return nil, err
	}
	states := stateColumns
	if !v.f.Placeholders {
		states = stateColumns[:States-2]
	}
	sum := `CAST(sum(r.` + strings.Join(states, " + r.") + `) AS bigint)`
	return v.s.values(ctx, `SELECT `+value+` AS word, `+sum+` FROM counts r WHERE `+w.String()+` AND `+value+` <> '' AND `+v.begins(w, value)+
		` GROUP BY word HAVING `+sum+` > 0 ORDER BY 2 DESC, 1 LIMIT `+w.param(v.limit), w.args)
}

// Of so many keys or values of labels the most frequent are found, and each is counted up to so many.
const (
	labelWords = 500
	labelCount = 500
)

// labels goes from one key, or one value of a key, to the next, along their index.
func (v *valuing) labels(ctx context.Context, key string) ([]store.Value, error) {
	w := &where{dialect: v.s.sql, tables: v.s.tables}
	column, scope := "key", w.equal("l.tenant_id", int64(v.s.tenant))
	if key != "" {
		column, scope = "value", scope+" AND "+w.equal("l.key", key)
	}
	var ranges []string
	for _, start := range spellings(v.prefix) {
		first, last := w.param(start), w.param(start+"\U0010FFFF")
		next := ` ORDER BY l.` + column + ` LIMIT 1`
		within := scope + ` AND l.` + column + ` < ` + last
		ranges = append(ranges, `(WITH RECURSIVE k AS ((SELECT l.`+column+` AS word FROM labels l WHERE `+within+` AND l.`+column+` >= `+first+next+`) UNION ALL
			SELECT n.word FROM k CROSS JOIN LATERAL (SELECT l.`+column+` AS word FROM labels l WHERE `+within+` AND l.`+column+` > k.word`+next+`) AS n) SELECT k.word FROM k LIMIT `+w.param(labelWords)+`)`)
	}
	return v.s.values(ctx, `SELECT u.word, (SELECT count(*) FROM (SELECT 1 FROM labels l WHERE `+scope+` AND l.`+column+` = u.word LIMIT `+w.param(labelCount)+`) AS few) AS n
		FROM (`+strings.Join(ranges, ` UNION `)+`) AS u WHERE u.word <> '' ORDER BY n DESC, u.word LIMIT `+w.param(v.limit), w.args)
}

// spellings are how a prefix may be written: as typed, in lower case, with a capital first.
func spellings(prefix string) []string {
	small := lowered(prefix)
	all := []string{prefix, small}
	if small != "" {
		all = append(all, strings.ToUpper(small[:1])+small[1:])
	}
	slices.Sort(all)
	return slices.Compact(all)
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
