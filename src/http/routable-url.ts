/**
 * A URL whose path the router can decode. It answers the others itself, in front of all hooks: nobody would ask who the
 * client is, count the request or word the answer. With its percent signs escaped such a path is one that nobody has.
 *
 *   /push       /push
 *   /%zz?a=%b   /%25zz?a=%b
 */
export function routableUrl(url: string): string {
  if (!url.includes('%')) return url
  const [path] = /^[^?#;]*/.exec(url)!
  return isDecodable(path) ? url : path.replaceAll('%', '%25') + url.slice(path.length)
}

function isDecodable(path: string): boolean {
  try {
    decodeURIComponent(path)
    return true
  } catch {
    return false
  }
}
