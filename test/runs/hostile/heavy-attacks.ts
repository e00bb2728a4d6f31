import type { SeededRandom } from '../../support/random.js'
import type { Attack, Targets } from './http-attacks.js'

const V2 = 'application/vnd.kafka.v2+json'
const JSON_RECORDS = 'application/vnd.kafka.json.v2+json'
const EVENT = 'application/cloudevents+json'

/** Each costs much as a program, a search, or both. */
const PATTERNS = [
  '((((.*)*)*)*){1000}'.repeat(50),
  '(a?){1000}',
  '(x+x+)+y',
  `${'(a|b|c)*'.repeat(200)}z`,
  '\\p{L}{1000}',
  '('.repeat(10_000),
  'a{1000}{1000}{1000}'
]
const NESTED = ['[', '{"a":', '[{"records":'] as const
const MANY_HEADERS = 500_000

const many = (one: string): string => new Array(MANY_HEADERS).fill(one).join(',')

/** Bodies of megabytes are made once, when they are sent first. */
const made = new Map<string, string>()
function once(name: string, make: () => string): string {
  const body = made.get(name) ?? make()
  made.set(name, body)
  return body
}

/** One request, which is to be refused. A connection that the server has closed is an answer, too. */
async function refused({ url }: Targets, path: string, type: string, body: string): Promise<string | undefined> {
  const sent = fetch(url + path, { method: 'POST', headers: { 'content-type': type, connection: 'close' }, body })
  const answer = await sent.catch(() => undefined)
  const text = await answer?.text().catch(() => '')
  const isRefused = answer === undefined || (answer.status >= 400 && answer.status !== 500)
  return isRefused ? undefined : `${path} was answered ${answer.status} ${text?.slice(0, 200)}`
}

/** A consumer of its own, which subscribes by a pattern. */
async function subscribed(targets: Targets, api: string, random: SeededRandom): Promise<undefined> {
  const ask = (method: string, path: string, body?: object) =>
    fetch(`${targets.url}/${api}/consumers/${path}`, {
      method,
      headers: { 'content-type': V2, connection: 'close' },
      ...(body && { body: JSON.stringify(body) })
    }).catch(() => undefined)
  const name = `i${random.between(0, 1_000_000_000)}`
  await ask('POST', 'patterns', { name })
  await Promise.all(
    PATTERNS.map(topic_pattern => ask('POST', `patterns/instances/${name}/subscription`, { topic_pattern }))
  )
  await ask('DELETE', `patterns/instances/${name}`)
  return undefined
}

const nested = (targets: Targets, random: SeededRandom): Promise<string | undefined> => {
  const opening = random.pick(NESTED)
  const body = once(opening, () => opening.repeat(Math.floor(4_000_000 / opening.length)))
  const [path, type] = random.pick([
    ['/kprf/push', 'application/json'],
    ['/arion/async', 'application/json'],
    ['/strimzi/topics/attacked', JSON_RECORDS],
    ['/confluent/topics/attacked', JSON_RECORDS],
    ['/events/attacked', EVENT]
  ] as const)
  return refused(targets, path, type, body)
}

/** Requests that are small beside the work or the memory that they ask for. */
export const heavyAttacks: Readonly<Record<string, Attack>> = {
  'heavy patterns of topics': (targets, random) => subscribed(targets, random.pick(['confluent', 'strimzi']), random),

  'heavy attributes of an event': (targets, random) => {
    const attribute = once('attribute', () => 'a'.repeat(15_000_000)).slice(0, random.between(8, 15) * 1_000_000)
    const text = random.pick([attribute, '%25'.repeat(attribute.length / 3), ' '.repeat(attribute.length)])
    const event = {
      specversion: '1.0',
      id: '1',
      source: '/s',
      type: 't',
      [random.pick(['id', 'source', 'time', 'x'])]: text
    }
    return refused(targets, '/events/attacked', EVENT, JSON.stringify(event))
  },

  'heavy nesting': nested,

  'heavy headers of a record': (targets, random) => {
    const headers = once('headers', () => many('{"key":"a","value":""}'))
    const attributes = once('attributes', () =>
      Array.from({ length: MANY_HEADERS }, (_, at) => `"a${at}":""`).join(',')
    )
    return random.between(0, 1) === 0
      ? refused(targets, '/strimzi/topics/attacked', JSON_RECORDS, `{"records":[{"value":1,"headers":[${headers}]}]}`)
      : refused(
          targets,
          '/events/attacked',
          EVENT,
          `{"specversion":"1.0","id":"1","source":"/","type":"t",${attributes}}`
        )
  }
}
