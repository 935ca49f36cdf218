package sql

// windows reads the list of WINDOW.
func (p *parser) windows() []NamedWindow {
	var list []NamedWindow
	for {
		id := p.ident("the name of a window")
		p.expectWord("as")
		list = append(list, NamedWindow{Pos: id.Pos, Name: id.Name, Spec: p.windowSpec()})
		if !p.accept(",") {
			return list
		}
	}
}

// over reads what follows OVER: a name or a window in parentheses.
func (p *parser) over() *WindowSpec {
	if p.tok.punct("(") {
		return p.windowSpec()
	}
	if !isName(&p.tok) {
		panic(p.expected("(", "the name of a window"))
	}
	id := p.ident("the name of a window")
	return &WindowSpec{Pos: id.Pos, Base: id.Name}
}

func (p *parser) windowSpec() *WindowSpec {
	w := &WindowSpec{Pos: p.tok.pos}
	p.expect("(")
	if isName(&p.tok) && !p.tok.is("partition") && !p.tok.is("rows") && !p.tok.is("range") && !p.tok.is("groups") {
		w.Base = p.ident("the name of a window").Name
	}
	if p.acceptWord("partition") {
		p.expectWord("by")
		w.PartitionBy = p.keyList()
	}
	w.OrderBy = p.orderBy()
	for mode, word := range [...]string{FrameRows: "rows", FrameRange: "range", FrameGroups: "groups"} {
		if p.tok.is(word) {
			w.Frame = p.frame(FrameMode(mode))
			break
		}
	}
	if !p.accept(")") {
		hint := p.misspelled()
		if hint == "" {
			hint = "expected PARTITION BY, ORDER BY, ROWS, RANGE, GROUPS or ), in this order"
		}
		panic(p.syntaxHint(hint))
	}
	return w
}

func (p *parser) frame(mode FrameMode) *Frame {
	f := &Frame{Pos: p.tok.pos, Mode: mode, End: FrameBound{Kind: CurrentRow}}
	p.advance()
	if p.acceptWord("between") {
		f.Start = p.bound()
		p.expectWord("and")
		f.End = p.bound()
	} else {
		f.Start = p.bound()
	}
	switch {
	case f.Start.Kind == UnboundedFollowing:
		panic(p.fail(CodeSyntax, f.Pos, "frame start cannot be UNBOUNDED FOLLOWING", ""))
	case f.End.Kind == UnboundedPreceding:
		panic(p.fail(CodeSyntax, f.Pos, "frame end cannot be UNBOUNDED PRECEDING", ""))
	case f.Start.Kind > f.End.Kind:
		panic(p.fail(CodeSyntax, f.Pos, "the frame ends before it starts", "the earlier bound comes first"))
	}
	f.Exclude = p.exclusion()
	return f
}

func (p *parser) bound() FrameBound {
	switch {
	case p.acceptWords("current", "row"):
		return FrameBound{Kind: CurrentRow}
	case p.acceptWord("unbounded"):
		if p.acceptWord("preceding") {
			return FrameBound{Kind: UnboundedPreceding}
		}
		p.expectWord("following", "preceding", "following")
		return FrameBound{Kind: UnboundedFollowing}
	}
	b := FrameBound{Kind: Preceding, Offset: p.expr(0)}
	if !p.acceptWord("preceding") {
		p.expectWord("following", "preceding", "following")
		b.Kind = Following
	}
	return b
}

func (p *parser) exclusion() Exclusion {
	if !p.acceptWord("exclude") {
		return ExcludeNothing
	}
	switch {
	case p.acceptWords("current", "row"):
		return ExcludeCurrentRow
	case p.acceptWord("group"):
		return ExcludeGroup
	case p.acceptWord("ties"):
		return ExcludeTies
	case p.acceptWords("no", "others"):
		return ExcludeNothing
	}
	panic(p.expected("current row", "group", "ties", "no others"))
}
