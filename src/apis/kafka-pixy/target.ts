/** What a path asks for. */
export type RouteName = 'ping' | 'heap' | 'messages' | 'acks' | 'offsets' | 'tail' | 'consumers' | 'topics' | 'topic'

export type Target =
  | {
      readonly type: 'route'
      readonly name: RouteName
      /** As the path names it; absent: the cluster of requests that name none. */
      readonly cluster: string | undefined
      /** The empty string where the path names none. */
      readonly topic: string
    }
  /** The same path, written as it should be: without doubled slashes and dots. */
  | { readonly type: 'moved'; readonly path: string }
  | { readonly type: 'unknown' }
  /** It cannot be decoded. */
  | { readonly type: 'malformed' }

const UNKNOWN: Target = { type: 'unknown' }
const OF_TOPIC: ReadonlySet<string> = new Set<RouteName>(['messages', 'acks', 'offsets', 'consumers', 'tail'])
/** The path of almost all requests: one segment that needs no decoding, and a word. */
const PLAIN = /^\/topics\/([\w.-]+)\/([a-z]+)$/

/** @param path as it was sent, below the prefix and without the query */
export function targetOf(path: string): Target {
  const plain = PLAIN.exec(path)
  if (plain !== null && plain[1] !== '.' && plain[1] !== '..') return ofTopic(plain[2]!, undefined, plain[1]!)
  const decoded = decode(path)
  if (decoded === undefined) return { type: 'malformed' }
  const cleaned = clean(decoded)
  if (cleaned !== decoded) return { type: 'moved', path: encodeURI(cleaned).replace(/[?#]/g, encodeURIComponent) }
  return ofSegments(decoded.split('/').slice(1))
}

/** For the logs: `/clusters/:cluster/topics/:topic/messages`. */
export function nameOf(target: Target): string | undefined {
  if (target.type !== 'route') return undefined
  const { name, cluster } = target
  if (name === 'ping') return '/_ping'
  if (name === 'heap') return '/pprof/heap'
  const below = cluster === undefined ? '/topics' : '/clusters/:cluster/topics'
  if (name === 'topics') return below
  return name === 'topic' ? `${below}/:topic` : `${below}/:topic/${name}`
}

function ofSegments([first, ...rest]: readonly string[]): Target {
  if (first === 'clusters' && rest[0]) return below(rest[0], rest.slice(1))
  if (first === '_ping' && rest.length === 0) return { type: 'route', name: 'ping', cluster: undefined, topic: '' }
  return first === 'pprof' && rest[0] === 'heap' && rest.length === 1
    ? { type: 'route', name: 'heap', cluster: undefined, topic: '' }
    : below(undefined, first === undefined ? [] : [first, ...rest])
}

function below(cluster: string | undefined, [first, topic, name, ...rest]: readonly string[]): Target {
  if (first !== 'topics' || rest.length > 0) return UNKNOWN
  if (topic === undefined) return { type: 'route', name: 'topics', cluster, topic: '' }
  if (topic === '') return UNKNOWN
  return name === undefined ? { type: 'route', name: 'topic', cluster, topic } : ofTopic(name, cluster, topic)
}

const ofTopic = (name: string, cluster: string | undefined, topic: string): Target =>
  OF_TOPIC.has(name) ? { type: 'route', name: name as RouteName, cluster, topic } : UNKNOWN

function decode(path: string): string | undefined {
  if (!path.includes('%')) return path
  try {
    return decodeURIComponent(path)
  } catch {
    return undefined
  }
}

/**
 * Without empty segments, `.` and `..`; a slash at the end stays.
 *
 *   //topics/a/../b/   =>   /topics/b/
 */
function clean(path: string): string {
  const segments: string[] = []
  for (const segment of path.split('/')) {
    if (segment === '..') segments.pop()
    else if (segment !== '' && segment !== '.') segments.push(segment)
  }
  const cleaned = `/${segments.join('/')}`
  return path.endsWith('/') && cleaned !== '/' ? `${cleaned}/` : cleaned
}
