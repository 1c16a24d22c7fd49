package relational

import "testing"

func TestStatementsAreNamedWithoutTheirText(t *testing.T) {
	for sql, want := range map[string]string{
		`SELECT id FROM resources WHERE name = 'hunter2'`:           "SELECT resources",
		"WITH x AS (\n SELECT 1 FROM ONLY labels_history) SELECT 2": "WITH labels_history",
		`INSERT INTO refs (tenant_id) VALUES ($1)`:                  "INSERT refs",
		`UPDATE clusters c SET seq = $1`:                            "UPDATE clusters",
		`DELETE FROM edges WHERE a = 1`:                             "DELETE edges",
		`SELECT x FROM (SELECT 1)`:                                  "SELECT …",
		`SELECT 'hunter2'`:                                          "SELECT",
		`BEGIN ISOLATION LEVEL REPEATABLE READ`:                     "BEGIN",
		`hunter2 is no statement`:                                   "statement",
		``:                                                          "statement",
	} {
		if got := Statement(sql); got != want {
			t.Errorf("%q is named %q, want %q", sql, got, want)
		}
	}
}
