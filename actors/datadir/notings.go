package datadir

// Notings are counts that brokers of this process are told to note, outside of an
// introduction, and which of them have. They are numbered downwards from a number, so that
// answers to introductions, which count upwards, are told from theirs. It is pure.
type Notings struct {
	first, next uint64
	open        map[uint64]*noting
}

type noting struct {
	left   map[int]bool // brokers that have not answered
	noted  []int
	failed int
	done   func(noted []int, failed int)
}

// NewNotings numbers from first downwards.
func NewNotings(first uint64) *Notings {
	return &Notings{first: first, next: first, open: map[uint64]*noting{}}
}

// Begin begins one, and returns its number. Done is called once, when all brokers have
// answered, or time is out: with those that have the counts on disk, and with how many do
// not have them. It is called at once if there are none.
func (n *Notings) Begin(brokers []int, done func(noted []int, failed int)) (number uint64) {
	number = n.next
	n.next--
	o := &noting{left: map[int]bool{}, done: done}
	for _, b := range brokers {
		o.left[b] = true
	}
	n.open[number] = o
	n.endIfAnswered(number)
	return number
}

// Answered takes a broker's answer. It reports whether the number is one of these.
func (n *Notings) Answered(number uint64, broker int, err error) bool {
	if o := n.open[number]; o != nil && o.left[broker] {
		delete(o.left, broker)
		if err == nil {
			o.noted = append(o.noted, broker)
		} else {
			o.failed++
		}
		n.endIfAnswered(number)
	}
	return number > n.next && number <= n.first
}

func (n *Notings) endIfAnswered(number uint64) {
	if len(n.open[number].left) == 0 {
		n.TimeOut(number)
	}
}

// TimeOut ends one; those that have not answered have failed.
func (n *Notings) TimeOut(number uint64) {
	if o := n.open[number]; o != nil {
		delete(n.open, number)
		o.done(o.noted, o.failed+len(o.left))
	}
}
