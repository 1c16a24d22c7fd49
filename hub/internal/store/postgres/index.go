package postgres

import "context"

// Index implements store.Indexer.
func (s *Store) Index(ctx context.Context, limit int) (more bool, err error) { return false, nil }
