package actors

import "iter"

// few is a map that is small nearly always: up to fewEntries entries stand one
// after the other, in memory for just those. There are as many of them as
// groups, and Go's own map begins with room for eight. The zero value is empty.
type few[K comparable, V any] struct {
	list []fewEntry[K, V]
	many map[K]V // instead, once there were more; nil before
}

type fewEntry[K comparable, V any] struct {
	key   K
	value V
}

const fewEntries = 8

func (f *few[K, V]) find(key K) int {
	for i := range f.list {
		if f.list[i].key == key {
			return i
		}
	}
	return -1
}

// get returns what stands at key, and whether anything does.
func (f *few[K, V]) get(key K) (V, bool) {
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

// at is get without the question; the zero value where there is nothing.
func (f *few[K, V]) at(key K) V {
	v, _ := f.get(key)
	return v
}

func (f *few[K, V]) set(key K, value V) {
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

func (f *few[K, V]) remove(key K) {
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

func (f *few[K, V]) len() int { return len(f.list) + len(f.many) }

func (f *few[K, V]) clear() { f.list, f.many = nil, nil }

// all yields the entries in any order. None may come or go meanwhile.
func (f *few[K, V]) all() iter.Seq2[K, V] {
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

// keys yields the keys as all does.
func (f *few[K, V]) keys() iter.Seq[K] {
	return func(yield func(K) bool) {
		for k := range f.all() {
			if !yield(k) {
				return
			}
		}
	}
}
