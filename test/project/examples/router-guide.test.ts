import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { expect } from 'chai'
import { defaultRouterSettings } from '../../../src/router/routing/settings.js'

const guide = readFileSync('docs/router.md', 'utf8')
const MEBIBYTE = 1024 * 1024

/** `16 MiB`, `1.5 s`, `100 ms`, `10,000`, `true`: a value as the guide writes it. */
function toText(name: string, value: unknown): string {
  if (typeof value === 'object') return '30 s each'
  if (typeof value !== 'number') return typeof value === 'string' ? `\`${value}\`` : String(value)
  if (name.endsWith('Bytes')) return value === MEBIBYTE ? '1 MiB' : `${value / MEBIBYTE} MiB`
  if (name.endsWith('Ms')) return value >= 1000 ? `${value / 1000} s` : `${value} ms`
  return value.toLocaleString('en-US')
}

describe('the guide to the Router', () => {
  it('lists every setting with its default, and no other', () => {
    const [settings] = guide.match(/^## The settings$[\s\S]*?(?=^## )/m)!
    const listed = [...settings.matchAll(/^\| `(\w+)` \| ([^|]+) \|/gm)]
      .map(match => [match[1]!, match[2]!.trim()] as const)
      .filter(([name]) => Object.hasOwn(defaultRouterSettings, name) || /(Ms|Bytes)$/.test(name))
    expect(Object.fromEntries(listed)).to.deep.equal(
      Object.fromEntries(Object.entries(defaultRouterSettings).map(([name, value]) => [name, toText(name, value)]))
    )
  })

  it('names the five operations of Castle and produce', () => {
    for (const request of Object.keys(defaultRouterSettings.requestTimeoutMs)) {
      if (request !== 'initProducerId') expect(guide).to.include(`| \`${request}\` |`)
    }
    expect(guide).to.include('| `produce` |')
  })

  it('links to examples and pages that exist', () => {
    const links = [...guide.matchAll(/\]\(([^)#]+)\)/g)].map(match => `docs/${match[1]}`)
    expect(links).to.not.be.empty
    expect(links.filter(link => !existsSync(link))).to.deep.equal([])
  })
})

describe('the examples', () => {
  it('say what they print', () => {
    const examples = readdirSync('examples').filter(name => name.endsWith('.ts') && name !== 'run.ts')
    expect(examples).to.have.length.above(4)
    for (const name of examples) {
      const head = readFileSync(`examples/${name}`, 'utf8').split('*/')[0]
      expect(head, name).to.match(/```text\n \* \S/)
    }
  })
})
