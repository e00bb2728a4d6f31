/** A group of the sidebar: a reader of docs/README.md, with the pages that it names for this reader. */
export interface Group {
  readonly text: string
  readonly collapsed: boolean
  readonly items: Item[]
}

export interface Item {
  readonly text: string
  readonly link: string
}

/**
 * The sidebar: a group for each reader of docs/README.md, with every page that is named there once.
 *
 * @param titleOf the title of a page, by its path below docs/
 */
export function sidebarOf(readme: string, titleOf: (page: string) => string): readonly Group[] {
  const [, ...sections] = readme.split(/^## /m)
  return sections.map(section => {
    const [text = ''] = section.split('\n')
    const items = pagesIn(section).map(page => ({ text: titleOf(page), link: `/${pathOf(page)}` }))
    return { text, collapsed: true, items }
  })
}

/** The pages that links name, in their order: `[shutdown](operations.md#shutdown)` => `operations.md`. */
export function pagesIn(markdown: string): readonly string[] {
  const links = [...markdown.matchAll(/\]\(((?!\.\.\/)[\w./-]+\.md)(?:#[\w-]+)?\)/g)]
  return [...new Set(links.map(([, page]) => page!))]
}

/** A folder's README.md is its first page: `deploy/README.md` => `deploy/index.md`. */
export const pathOf = (page: string): string => page.replace(/(^|\/)README\.md$/, '$1index.md')

/** `# The *title*` => `The *title*`. */
export const titleIn = (markdown: string): string => /^# (.+)$/m.exec(markdown)?.[1] ?? ''
