import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { defineConfig, type MarkdownRenderer } from 'vitepress'
import { questionsIn, rendererOf, searchOptions } from './search.js'
import { pathOf, sidebarOf, titleIn } from './sidebar.js'

const DOCS = fileURLToPath(new URL('../..', import.meta.url))
const ROOT = resolve(DOCS, '..')
/** The pages lie outside of the folder in which Vue is installed. */
const VUE = fileURLToPath(new URL('../node_modules/vue', import.meta.url))
const FORGE = 'https://github.com/castellan-kafka/castellan'
/** Read where they are published, with the packages; and the site itself. */
const NO_PAGES = ['packages/**', 'site/**']

const read = (page: string): string => readFileSync(join(DOCS, page), 'utf8')

/** As the forge makes them, so that one link is right in both places. */
const slugOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}_ -]/gu, '')
    .replaceAll(' ', '-')

const isPage = (file: string): boolean =>
  file.endsWith('.md') && !relative(DOCS, file).startsWith('..') && !/^(?:packages|site)\//.test(relative(DOCS, file))

/** Links of pages are relative to their files: those to other pages stay, those to anything else lead to the forge. */
function hrefOf(href: string, page: string): string {
  if (/^(?:[a-z]+:|#|\/)/.test(href)) return href
  const [path = '', anchor] = href.split('#')
  const file = resolve(dirname(page), path)
  const hash = anchor === undefined ? '' : `#${anchor}`
  if (isPage(file)) return `${pathOf(path)}${hash}`
  // A file that does not exist stays a dead link, which ends the build.
  if (!existsSync(file)) return href
  return `${FORGE}/${statSync(file).isDirectory() ? 'tree' : 'blob'}/main/${relative(ROOT, file)}${hash}`
}

function followLinks(markdown: MarkdownRenderer): void {
  markdown.core.ruler.push('links', state => {
    for (const token of state.tokens.flatMap(({ children }) => children ?? [])) {
      if (token.type === 'link_open') token.attrSet('href', hrefOf(token.attrGet('href') ?? '', state.env.path))
    }
  })
}

export default defineConfig({
  title: 'Castellan',
  description: 'An HTTP gateway and a library for Apache Kafka',
  lang: 'en',
  srcDir: '../',
  srcExclude: NO_PAGES,
  outDir: './dist',
  cacheDir: './.cache',
  cleanUrls: true,
  rewrites: pathOf,
  vite: { resolve: { alias: [{ find: /^vue(?=$|\/)/, replacement: VUE }] } },
  markdown: { anchor: { slugify: slugOf }, config: followLinks, attrs: { disable: true } },
  themeConfig: {
    sidebar: [...sidebarOf(read('README.md'), page => titleIn(read(page)))],
    outline: [2, 3],
    search: {
      provider: 'local',
      options: { miniSearch: searchOptions, _render: rendererOf(questionsIn(read('README.md'))) }
    },
    editLink: { pattern: `${FORGE}/blob/main/docs/:path`, text: 'This page on GitHub' },
    socialLinks: [{ icon: 'github', link: FORGE }]
  }
})
