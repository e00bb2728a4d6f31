import { readdirSync, readFileSync } from 'node:fs'
import { expect } from 'chai'
import { pathOf, sidebarOf, titleIn } from '../../../docs/site/.vitepress/sidebar.js'

interface Manifest {
  readonly devDependencies: Readonly<Record<string, string>>
}
interface Lockfile {
  readonly packages: Readonly<Record<string, { readonly version: string }>>
}

const read = (page: string): string => readFileSync(`docs/${page}`, 'utf8')
const readJson = <T>(file: string): T => JSON.parse(readFileSync(file, 'utf8')) as T

/** The site is built by a workflow: here is only what needs no package of its own. */
describe('docs/site', () => {
  it('has each page in its sidebar, by its title, and no page twice for one reader', () => {
    const pages = readdirSync('docs', { recursive: true, encoding: 'utf8' }).filter(
      page => page.endsWith('.md') && !/^(?:README\.md$|packages\/|site\/)/.test(page)
    )
    const groups = sidebarOf(read('README.md'), page => titleIn(read(page)))
    const links = new Set(groups.flatMap(({ items }) => items.map(({ link }) => link)))
    expect(pages.length).to.be.above(50)
    expect([...links].sort()).to.deep.equal(pages.map(page => `/${pathOf(page)}`).sort())
    for (const { items } of groups) {
      expect(items).to.not.deep.equal([])
      expect(new Set(items.map(({ link }) => link)).size).to.equal(items.length)
      for (const { text } of items) expect(text).to.not.equal('')
    }
  })

  it('has its packages to the last digit, and none of them in the lockfile of the product', () => {
    const { devDependencies } = readJson<Manifest>('docs/site/package.json')
    const { packages } = readJson<Lockfile>('docs/site/package-lock.json')
    const product = readJson<Lockfile>('package-lock.json').packages
    expect(Object.keys(devDependencies)).to.deep.equal(['vitepress'])
    for (const [name, version] of Object.entries(devDependencies)) {
      expect(packages[`node_modules/${name}`]?.version).to.equal(version)
      expect(product).to.not.have.property(`node_modules/${name}`)
    }
  })
})
