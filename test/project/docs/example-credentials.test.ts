import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { configOf, TestFolder } from '../../support/access.js'

/** What a reader may copy: README, docs and examples. */
function pages(path: string): string[] {
  if (statSync(path).isFile()) return /\.(md|ya?ml|json|ts|conf|service|cfg|php|py|sh)$/.test(path) ? [path] : []
  return readdirSync(path).flatMap(name => (name === 'node_modules' ? [] : pages(join(path, name))))
}

const SHOWN = ['README.md', 'docs', 'examples'].flatMap(pages)

function places(pattern: RegExp): string[] {
  return SHOWN.flatMap(page => [...readFileSync(page, 'utf8').matchAll(pattern)].map(match => `${page}: ${match[0]}`))
}

describe('credentials in examples', () => {
  const folder = new TestFolder()
  after(() => folder.remove())

  it('have no hash that a configuration would accept', () => {
    expect(places(/sha256['"]?: *['"]?[0-9a-f]{64}\b/gi)).to.deep.equal([])
    expect(places(/^sha256 +[0-9a-f]{64}\b/gim)).to.deep.equal([])
    expect(places(/\$scrypt\$ln=\d+,r=\d+,p=\d\$[A-Za-z0-9+/]{22,}/g)).to.deep.equal([])
  })

  it('have places to fill in that a configuration refuses as they stand', () => {
    const configured = [...places(/^ *#? *sha256: .*$/gm), ...places(/^ *passwordHash: .*$/gm)]
    expect(configured.length).to.be.at.least(3)
    for (const place of configured) {
      const [name = '', value = ''] = place
        .slice(place.indexOf(': ') + 2)
        .replace(/^ *#? */, '')
        .replace(/ +#.*$/, '')
        .split(': ')
      const auth =
        name === 'sha256'
          ? { tokens: [{ principal: 'shop', sha256: value }] }
          : { users: [{ username: 'anna', passwordHash: value }] }
      expect(() => configOf(folder, { auth }), place).to.throw(/castellan (token|password) makes/)
    }
  })
})
