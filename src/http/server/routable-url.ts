/**
 * A URL whose path Fastify's router can decode. The router answers others itself before any hook runs: without
 * authentication, without counting, and not in the error format of the API. With its percent signs escaped, such a
 * path matches no route and passes through the hooks.
 *
 *   /push       /push
 *   /%zz?a=%b   /%25zz?a=%b
 *   /push;%zz   /push;%25zz
 */
export function routableUrl(url: string): string {
  if (!url.includes('%')) return url
  const [path] = /^[^?#]*/.exec(url)!
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
