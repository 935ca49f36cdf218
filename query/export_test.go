package query

// Keeps says whether a statement has a plan that its next run may use.
func (s *Statement) Keeps() bool {
	p := s.plan.Load()
	return p != nil && p.template != nil
}

// Texts are how many texts an engine keeps, and their bytes.
func (e *Engine) Texts() (n, bytes int) {
	e.texts.mu.Lock()
	defer e.texts.mu.Unlock()
	for _, m := range []map[string][]*Statement{e.texts.young, e.texts.old} {
		for text := range m {
			n, bytes = n+1, bytes+len(text)
		}
	}
	return n, bytes
}
