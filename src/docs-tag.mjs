import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * What `docsUrl` links to: `{ DOCS_TAG: '"v0.2.0"' }` for a release, and `{}` for a tree that is not released, whose changelog
 * begins with what is not released yet, or is not there.
 *
 * @param {string} root the folder of package.json @returns {Record<string, string>} for esbuild's `define`
 */
export function docsTag(root) {
  const changelog = join(root, 'docs/changelog.md')
  const newest = existsSync(changelog) ? /^## (.*)$/m.exec(readFileSync(changelog, 'utf8'))?.[1] : undefined
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  return newest?.split(' ')[0] === version ? { DOCS_TAG: JSON.stringify(`v${version}`) } : {}
}
