/**
 * Makes the page of the management port: one file, `dist/http/page/page.html`, with its script and style in it. A part of
 * `npm run build`.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'

const SOURCES = import.meta.dirname
const PROJECT = join(SOURCES, '../../..')
const TARGET = join(PROJECT, 'dist/http/page')
/** Packages that become part of the page; their licences ask for their texts beside it. */
const PACKAGES = ['preact', 'htm']

const options = { bundle: true, minify: true, write: false, target: 'es2022', legalComments: 'none' }

/** @param {string} file @returns {Promise<string>} */
async function bundle(file) {
  const { outputFiles } = await build({ ...options, entryPoints: [join(SOURCES, file)], format: 'iife' })
  return outputFiles[0].text.trim()
}

const [script, style] = await Promise.all([bundle('main.ts'), bundle('style.css')])
// The end of the element would end the script, too.
if (/<\/script/i.test(script) || /<\/style/i.test(style)) throw new Error('the page has the end of an element in its text')
const page = readFileSync(join(SOURCES, 'page.html'), 'utf8')
  .replace('/*style*/', () => style)
  .replace('/*script*/', () => script)
mkdirSync(TARGET, { recursive: true })
writeFileSync(join(TARGET, 'page.html'), page)
const licences = PACKAGES.map(name => `${name}\n\n${readFileSync(join(PROJECT, 'node_modules', name, 'LICENSE'), 'utf8')}`)
writeFileSync(join(TARGET, 'licences.txt'), licences.join('\n\n'))
