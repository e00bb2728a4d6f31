import type { Verbs } from '../../verbs/verbs.js'

/** A path that Kafka-Pixy changes or rejects before it looks for a route. */
export type OddPath =
  /** Kafka-Pixy redirects to `path`, without empty segments, `.` and `..`. */
  | { readonly type: 'moved'; readonly path: string }
  | { readonly type: 'unknown' }
  /** The path cannot be decoded. */
  | { readonly type: 'malformed' }

/** A path with an escape, an empty segment, `.` or `..`, or a slash at the end. */
const UNUSUAL = /%|\/\.{0,2}\/|\/\.{0,2}$|^$/

/**
 * @param path as it was sent, below the prefix and without the query
 * @returns `undefined`: the router decides
 */
export function oddPathOf(path: string): OddPath | undefined {
  if (!UNUSUAL.test(path)) return undefined
  const decoded = decode(path)
  if (decoded === undefined) return { type: 'malformed' }
  const cleaned = clean(decoded)
  if (cleaned !== decoded) return { type: 'moved', path: encodeURI(cleaned).replace(/[?#]/g, encodeURIComponent) }
  // No route ends with a slash. Kafka-Pixy takes `%2F` for a slash; Castellan's router does not.
  return decoded.endsWith('/') || /%2f/i.test(path) ? { type: 'unknown' } : undefined
}

function decode(path: string): string | undefined {
  try {
    return decodeURIComponent(path)
  } catch {
    return undefined
  }
}

/**
 * Removes empty segments, `.` and `..`; keeps a slash at the end.
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

/** The cluster of requests that name none. */
export const DEFAULT_CLUSTER = 'default'

/** Gateways by the names that requests may use. @param alias another name of the default cluster */
export function withAlias(
  verbsByCluster: ReadonlyMap<string, Verbs>,
  alias: string | undefined
): ReadonlyMap<string, Verbs> {
  const main = verbsByCluster.get(DEFAULT_CLUSTER)
  return alias === undefined || main === undefined ? verbsByCluster : new Map([...verbsByCluster, [alias, main]])
}
