// Uses the types that openapi-typescript has made of /openapi.json.
import createClient from 'openapi-fetch'
import type { components, paths } from './ottla.js'

const client = createClient<paths>({ baseUrl: process.argv[2] })

function given<T>(value: T | undefined, error: components['schemas']['Error'] | undefined): T {
  if (value === undefined) throw new Error(error ? `${error.code}: ${error.message}` : 'no answer')
  return value
}

function equal(got: unknown, want: unknown): void {
  if (JSON.stringify(got) !== JSON.stringify(want)) throw new Error(`got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`)
}

const one = await client.POST('/events', { body: { topic: 'generated-ts', key: 'a', value: { a: [1, null] }, headers: { source: 'test' } } })
const placed = given(one.data, one.error)
if (!('offset' in placed)) throw new Error('not the answer to one record')
const partition: number = placed.partition

const records = [0, 1, 2].map((value) => ({ value, partition }))
const many = await client.POST('/events', { body: { topic: 'generated-ts', records } })
const batch = given(many.data, many.error)
equal('count' in batch && batch.count, 3)

const query = { topic: ['generated-ts'], group: 'ts', auto_commit: false }
const first = await client.GET('/events', { params: { query } })
const poll: components['schemas']['Poll'] = given(first.data, first.error)
const values: unknown[] = poll.records.map((record) => record.value)
equal(values, [{ a: [1, null] }, 0, 1, 2])

const member = { group: poll.group, consumer_id: poll.consumer_id }
const beat = await client.POST('/groups/{group}/members/{consumer_id}/heartbeat', {
  params: { path: member },
  body: { session_timeout_ms: 20000 },
})
equal(given(beat.data, beat.error).lease_ms, 20000)

const next = { ...query, consumer_id: poll.consumer_id, ack: poll.cursor, timeout_ms: 0 }
const acknowledged = await client.GET('/events', { params: { query: next } })
equal(given(acknowledged.data, acknowledged.error).records, [])

const missing = await client.GET('/events', { params: { query: { topic: ['generated-tss'] } } })
const code: components['schemas']['Error']['code'] | undefined = missing.error?.code
equal(code, 'topic_not_found')
equal(missing.error?.details?.similar, 'generated-ts')

const left = await client.DELETE('/groups/{group}/members/{consumer_id}', { params: { path: member } })
equal(left.response.status, 204)
console.log('typescript client: ok')
