import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { docsUrl } from '../../../src/http/status/docs.js'

/** Of the build, which Node runs as it is. */
const DOCS_TAG = '../../../src/http/page/build.mjs'
const PAGES = 'https://github.com/castellan-kafka/castellan/blob/main/'

describe('links to the docs', () => {
  it('lead to the page of a setting, also in a cluster of any name', () => {
    expect(docsUrl('docs/status.md#brokergone')).to.equal(`${PAGES}docs/status.md#brokergone`)
    expect(docsUrl('wal.maxBytes')).to.equal(`${PAGES}docs/configuration.md#wal:~:text=wal.maxBytes`)
    expect(docsUrl('clusters.eu"><b.sasl')).to.equal(
      `${PAGES}docs/configuration.md#clusters:~:text=clusters.%3Cname%3E.sasl`
    )
    expect(docsUrl('advanced.http.maxHeapShare')).to.equal(
      `${PAGES}docs/advanced-settings.md#advancedhttp:~:text=advanced.http.maxHeapShare`
    )
  })

  it('lead to places that exist, for everything that rows of trouble name', () => {
    const source = readFileSync('src/http/status/trouble.ts', 'utf8')
    const named = [...source.matchAll(/(?:see: .*?|_DOCS = )['`]([\w.]+(?:\/[\w.]+)?(?:#[\w-]+)?)['`]/g)].map(
      ([, see]) => see!
    )
    const settings = ['clusters.default.brokers', 'http.tls.certFile', 'management.tls.certFile', 'http.maxConnections']
    expect(named.length).to.be.at.least(15)
    for (const see of [...named, ...settings]) {
      const [path, anchor] = docsUrl(see).slice(PAGES.length).replace(/:~:.*/, '').split('#')
      const page = readFileSync(path!, 'utf8')
      const headings = [...page.matchAll(/^#+ (.*)$|<a id="([^"]*)"/gm)].map(
        ([, heading, id]) =>
          id ??
          heading!
            .toLowerCase()
            .replaceAll(/[^\w -]/g, '')
            .replaceAll(' ', '-')
      )
      if (anchor !== undefined) expect(headings, see).to.include(anchor)
      const text = /:~:text=(.*)$/.exec(docsUrl(see))?.[1]
      // `management.tls` has the settings of `http.tls`, and no table.
      if (text !== undefined)
        expect(page, see).to.include(decodeURIComponent(text).replace(/(?<=^management\.tls)\..*/, ''))
    }
  })

  it('are those of a tag where the changelog begins with this version, and those of main otherwise', async () => {
    const { docsTag } = (await import(DOCS_TAG)) as { docsTag(root: string): object }
    const root = mkdtempSync(join(tmpdir(), 'castellan-docs-tag-'))
    const tagWith = (changelog: string) => {
      writeFileSync(join(root, 'docs/changelog.md'), changelog)
      return docsTag(root)
    }
    try {
      writeFileSync(join(root, 'package.json'), '{"version":"1.2.3"}')
      expect(docsTag(root), 'no changelog').to.deep.equal({})
      mkdirSync(join(root, 'docs'))
      expect(tagWith('# Changelog\n\n## 1.2.3 (1 May 2027)\n\n## 1.2.2\n')).to.deep.equal({ DOCS_TAG: '"v1.2.3"' })
      expect(tagWith('# Changelog\n\n## Not released yet\n\n## 1.2.3 (1 May 2027)\n')).to.deep.equal({})
    } finally {
      rmSync(root, { recursive: true })
    }
  })
})
