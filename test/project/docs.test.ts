import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { apis } from '../../src/apis/apis.js'

describe('documentation', () => {
  it('names every dependency with its reason, and no other', () => {
    const manifests = ['package.json', 'docs/site/package.json'].map(
      file => JSON.parse(readFileSync(file, 'utf8')) as Record<string, Record<string, string> | undefined>
    )
    const installed = manifests
      .flatMap(({ dependencies = {}, devDependencies = {} }) => Object.keys({ ...dependencies, ...devDependencies }))
      .sort()
    const rows = readFileSync('docs/develop/dependencies.md', 'utf8')
      .replace(/^## Written by hand[\s\S]*?(?=^## )/m, '')
      .split('\n')
      .filter(line => line.startsWith('| `'))
    const named = rows.flatMap(row => [...row.split('|')[1]!.matchAll(/`([^`]+)`/g)].map(match => match[1]!)).sort()
    expect(named).to.deep.equal(installed)
    for (const row of rows) expect(row.split('|')[2]!.trim(), row).to.not.equal('')
  })

  for (const { name, prefix } of apis) {
    it(`has a page for ${name} with an example, a line in the READMEs, and its prefix among the ports`, () => {
      // Those that imitate no system.
      const file = ['queues', 'mcp'].includes(name) ? `${name}.md` : `compatibility/${name}.md`
      const page = readFileSync(`docs/${file}`, 'utf8')
      expect(page).to.match(new RegExp(`^curl .*http://127.0.0.1:8080${prefix}[/ ]`, 'm'))
      const readme = readFileSync('README.md', 'utf8')
      expect(readme).to.match(new RegExp(`^\\| ${name} \\| .* \`${prefix}\`.*${file.replace('.', '\\.')}`, 'im'))
      expect(readFileSync('src/apis/README.md', 'utf8')).to.include(`\n| \`${name}/\` | `)
      expect(readFileSync('docs/ports.md', 'utf8')).to.match(new RegExp(`^\\| 8080 \\|.*\`${prefix}\``, 'm'))
    })
  }

  it('has a row for each API in the tables that have one per API', () => {
    const ofOthers = ['cloudevents', 'queues', 'mcp']
    const names = new Map<string, string>([
      ['kafka-pixy', 'Kafka-Pixy'],
      ['strimzi', 'Strimzi'],
      ['confluent', 'Confluent'],
      ['cloudevents', 'CloudEvents'],
      ['mcp', 'MCP'],
      ['arion', 'Arion']
    ])
    const rowsOf = (page: string, heading: string): string[] => {
      const [, ofHeading = ''] = readFileSync(page, 'utf8').split(heading)
      const table = ofHeading.slice(ofHeading.indexOf('\n|')).trim().split('\n\n')[0]!
      return table.split('\n').map(row => row.split('|')[1]!)
    }
    const missing = (rows: readonly string[], without: readonly string[]): string[] =>
      apis
        .map(({ name }) => name)
        .filter(name => !without.includes(name) && !rows.some(row => row.includes(names.get(name) ?? name)))

    const moving = rowsOf('docs/start/moving.md', '# Moving').map(row => row.replace('REST Proxy', 'Confluent'))
    expect(missing(moving, ofOthers)).to.deep.equal([])
    // A queue's messages are written by any of the others.
    expect(missing(rowsOf('docs/acknowledgements.md', '## By API'), ['queues'])).to.deep.equal([])
    expect(missing(rowsOf('docs/acknowledgements.md', '## The partition of a key'), ['queues'])).to.deep.equal([])
  })

  it('has a row in docs/develop/testing.md for each entry of test/ and each kind of whole runs', () => {
    const page = readFileSync('docs/develop/testing.md', 'utf8')
    const named = [...page.matchAll(/^\| `([^`]+?)\/?` \|/gm)].map(([, name]) => name!)
    expect(named.filter(name => !/[*/]/.test(name)).sort()).to.deep.equal(readdirSync('test').sort())
    const kinds = readdirSync('test/runs', { withFileTypes: true }).filter(entry => entry.isDirectory())
    const rows = page.split('\n').filter(line => line.startsWith('| '))
    const missing = kinds.filter(({ name }) => !rows.some(row => row.includes(`\`test/runs/${name}/`)))
    expect(missing.map(({ name }) => name)).to.deep.equal([])
  })

  it('names tests in docs/security.md that exist', () => {
    const sources = readdirSync('test', { withFileTypes: true, recursive: true })
      .filter(entry => entry.isFile() && entry.name.endsWith('.test.ts'))
      .map(entry => readFileSync(join(entry.parentPath, entry.name), 'utf8'))
    const titles = sources.flatMap(source =>
      [...source.matchAll(/\b(?:describe|it)\(\s*(['"`])((?:(?!\1)[^\\]|\\.)*)\1/g)].map(match =>
        match[2]!.replace(/\\(['"`])/g, '$1')
      )
    )
    const rows = readFileSync('docs/security.md', 'utf8')
      .split('\n')
      .filter(line => line.startsWith('| ') && !line.startsWith('| threat'))
    const named = rows.flatMap(row =>
      [
        ...row
          .split('|')
          .at(-2)!
          .matchAll(/`([^`]+)`/g)
      ].map(match => match[1]!)
    )
    expect(named.length).to.be.above(10)
    expect(named.filter(name => !titles.some(title => title.includes(name)))).to.deep.equal([])
  })

  it('quotes in docs/missing-records.md lines of the log that are in the sources', () => {
    const sources = readdirSync('src', { withFileTypes: true, recursive: true })
      .filter(entry => entry.isFile() && entry.name.endsWith('.ts'))
      .map(entry => readFileSync(join(entry.parentPath, entry.name), 'utf8'))
      .join('\n')
    const rows = readFileSync('docs/missing-records.md', 'utf8').match(/^\| \d\. .*$/gm)!
    const quoted = rows.flatMap(row => row.split('|')[3]!.match(/`[^`]{12,}`/g) ?? [])
    const parts = quoted.flatMap(line => line.slice(1, -1).split('…'))
    expect(parts.length).to.be.above(10)
    expect(parts.filter(part => !sources.includes(part.trimEnd()))).to.deep.equal([])
  })
})
