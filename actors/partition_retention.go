package actors

// quietRetention looks for old segments of a partition that is otherwise idle;
// a proposal wakes it.
func (p *partitionActor) quietRetention() {
	if p.ref == nil {
		return
	}
	p.retentionTick()
	if p.rep.Gathered() {
		p.wake()
	}
}

// retentionTick proposes a new log start when old segments are due.
func (p *partitionActor) retentionTick() {
	every := max(1, int(p.env.opt.RetentionCheckInterval/p.env.opt.TickInterval))
	if p.ticks%every != 0 {
		return
	}
	if p.compacts() {
		p.askCompaction()
		return
	}
	now := p.env.now().UnixMilli()
	start := p.file.RetentionStart(now, p.settings.RetentionMs, p.settings.RetentionBytes, p.rep.AppliedIndex())
	if start > p.file.LogStart() {
		p.log.Info("retention moves the log start", "from", p.file.LogStart(), "to", start)
		p.rep.ProposeLogStart(start)
	}
}
