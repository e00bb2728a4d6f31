/** Makes the page of the management port: one file, `page.html`, with its script and style in it. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'

const SOURCES = import.meta.dirname
const options = { bundle: true, minify: true, write: false, target: 'es2022', legalComments: 'none' }

/** @param {string} file @param {Record<string, string>} [define] @returns {Promise<string>} */
async function bundle(file, define) {
  const { outputFiles } = await build({ ...options, define, entryPoints: [join(SOURCES, file)], format: 'iife' })
  return outputFiles[0].text.trim()
}

/**
 * What `docsUrl` links to: a tag for a release, nothing for a tree whose changelog begins with what is not released yet.
 *
 * @param {string} root the folder of package.json @returns {Record<string, string>}
 */
export function docsTag(root) {
  const changelog = join(root, 'docs/changelog.md')
  const newest = existsSync(changelog) ? /^## (\S+)/m.exec(readFileSync(changelog, 'utf8'))?.[1] : undefined
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  return newest === version ? { DOCS_TAG: JSON.stringify(`v${version}`) } : {}
}

/** @param {string} target the folder of the page @param {Record<string, string>} define names that the script gets values for */
export async function buildPage(target, define) {
  const [script, style] = await Promise.all([bundle('main.ts', define), bundle('style.css')])
  // The end of the element would end the script, too.
  if (/<\/script/i.test(script) || /<\/style/i.test(style)) throw new Error('the page has the end of an element in its text')
  const page = readFileSync(join(SOURCES, 'page.html'), 'utf8')
    .replace('/*style*/', () => style)
    .replace('/*script*/', () => script)
  writeFileSync(join(target, 'page.html'), page)
  // preact's licence (MIT) asks for its text beside the page; that of htm (Apache 2.0) is the same as Castellan's own.
  const licence = readFileSync(join(SOURCES, '../../../node_modules/preact/LICENSE'), 'utf8')
  writeFileSync(join(target, 'licences.txt'), `The page contains preact and htm.\n\npreact:\n\n${licence}\nhtm: Apache License 2.0, as in LICENSE of this package.\n`)
}
