package few

import "iter"

// Map is a map that is nearly always small: up to fewEntries entries are in a
// slice, in memory for just those. It is not safe for concurrent use. The zero
// value is empty.
type Map[K comparable, V any] struct {
	list []fewEntry[K, V]
	many map[K]V // instead, once there were more; nil before
}

type fewEntry[K comparable, V any] struct {
	key   K
	value V
}

const fewEntries = 8

func (f *Map[K, V]) find(key K) int {
	for i := range f.list {
		if f.list[i].key == key {
			return i
		}
	}
	return -1
}

// Get returns the value of key; ok is false when there is none.
func (f *Map[K, V]) Get(key K) (value V, ok bool) {
	if f.many != nil {
		v, ok := f.many[key]
		return v, ok
	}
	if i := f.find(key); i >= 0 {
		return f.list[i].value, true
	}
	var none V
	return none, false
}

// At returns the value of key, the zero value when there is none.
func (f *Map[K, V]) At(key K) V {
	v, _ := f.Get(key)
	return v
}

// Set sets the value of key.
func (f *Map[K, V]) Set(key K, value V) {
	switch i := f.find(key); {
	case f.many != nil:
		f.many[key] = value
	case i >= 0:
		f.list[i].value = value
	case len(f.list) < fewEntries:
		f.list = append(f.list, fewEntry[K, V]{key, value})
	default:
		f.many = make(map[K]V, 2*fewEntries)
		for _, e := range f.list {
			f.many[e.key] = e.value
		}
		f.many[key] = value
		f.list = nil
	}
}

// Remove removes key, if it is there.
func (f *Map[K, V]) Remove(key K) {
	if f.many != nil {
		delete(f.many, key)
		return
	}
	if i := f.find(key); i >= 0 {
		last := len(f.list) - 1
		f.list[i] = f.list[last]
		f.list[last] = fewEntry[K, V]{}
		f.list = f.list[:last]
	}
}

// Len is the number of entries.
func (f *Map[K, V]) Len() int { return len(f.list) + len(f.many) }

// Clear removes all entries.
func (f *Map[K, V]) Clear() { f.list, f.many = nil, nil }

// All yields the entries in any order. None may be added or removed meanwhile.
func (f *Map[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for i := range f.list {
			if !yield(f.list[i].key, f.list[i].value) {
				return
			}
		}
		for k, v := range f.many {
			if !yield(k, v) {
				return
			}
		}
	}
}

// Keys yields the keys as All yields the entries.
func (f *Map[K, V]) Keys() iter.Seq[K] {
	return func(yield func(K) bool) {
		for k := range f.All() {
			if !yield(k) {
				return
			}
		}
	}
}
