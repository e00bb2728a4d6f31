import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { parse } from 'yaml'
import { environmentName } from '../../../src/core/settings/setting-names.js'
import { loadConfig } from '../../../src/server/config/config.js'
import { describeSettings } from '../../../src/server/config/schema.js'
import { rowsOf, settingsPages, settingsTables } from './settings-tables.js'

/** As many as somebody can look through. */
const MAX_SETTINGS = 173
const MAX_ADVANCED_SETTINGS = 66
const NO_SETTINGS = ['CASTELLAN_BROKERS', 'CASTELLAN_WEBHOOKS_NAME_SECRET']

describe('docs/configuration.md and docs/advanced-settings.md', () => {
  const [configuration, advanced] = settingsPages

  for (const each of settingsPages) {
    it(`${each.page} has the tables of the schema: every setting with type, default and meaning, and nothing else`, () => {
      const text = readFileSync(each.page, 'utf8')
      const tables = text.slice(text.indexOf(each.firstHeading))
      expect(tables.split('\n')).to.deep.equal(settingsTables(each).split('\n'))
    })
  }

  it(`list at most ${MAX_SETTINGS} settings and ${MAX_ADVANCED_SETTINGS} advanced ones`, () => {
    expect(rowsOf(configuration)).to.be.at.most(MAX_SETTINGS)
    expect(rowsOf(advanced)).to.be.at.most(MAX_ADVANCED_SETTINGS)
  })

  it('speaks of no variable that does not exist', () => {
    const { leaves } = describeSettings()
    const known = new Set(
      leaves.flatMap(({ path }) => [environmentName(path), environmentName(path).replace('<NAME>', 'DEFAULT')])
    )
    const page = readFileSync(configuration.page, 'utf8')
    const named = [...page.matchAll(/`(CASTELLAN_[A-Z_<>]+)(=[^`]*)?`/g)].map(match => match[1]!)
    expect(named).to.not.deep.equal([])
    const unknown = named.filter(
      name => !known.has(name) && !known.has(name.replace(/_FILE$/, '')) && !NO_SETTINGS.includes(name)
    )
    expect(unknown).to.deep.equal([])
  })
})

describe('settings', () => {
  it('are described, with the unit of each number in its name', () => {
    const unit =
      /(Ms(\.\w+)?|Bytes|port|nodes|Partitions|PerSecond|PerRequest|PerConnection|Headers|PerDispatcher|Connections|Requests|Records|Topics|Groups|PerGroup|Messages|Retries|Refreshes|Files|PerBatch|PerAnswer|Tails|Held|PerClient|Waiting|Queues|InFlight|Attempts|share)$/i
    const wrong = describeSettings()
      .leaves.map(({ path, ...rest }) => ({ name: path.join('.'), ...rest }))
      .filter(
        ({ name, description, defaultValue }) =>
          !/^[A-Z`'].*[^.]$/.test(description) || (typeof defaultValue === 'number' && !unit.test(name))
      )
    expect(wrong.map(({ name, description }) => `${name}: ${description}`)).to.deep.equal([])
  })
})

describe('examples/castellan.yaml', () => {
  it('is a configuration as it stands', () => {
    expect(() => loadConfig({ file: 'examples/castellan.yaml', environment: {} })).to.not.throw()
  })

  it('has commented settings that can be used, too', () => {
    const text = readFileSync('examples/castellan.yaml', 'utf8').replace(/^( *)#([a-zA-Z-])/gm, '$1$2')
    expect(Object.keys(parse(text) as object)).to.include.members(['http', 'management', 'clusters', 'apis'])
  })
})
