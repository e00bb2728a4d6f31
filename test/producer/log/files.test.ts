import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { checkFormat, writeFormat } from '../../../src/producer/log/format-file.js'
import { NodeDirectory } from '../../../src/producer/log/node-files.js'
import { eio, SimulatedDisk } from '../../support/simulated-disk.js'
import { group, openStore, readAll } from './stage.js'

describe('the files of the durable log', () => {
  let root: string
  let directory: NodeDirectory
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'castellan-files-'))
    directory = new NodeDirectory(join(root, 'data', 'wal'))
  })
  afterEach(() => rmSync(root, { recursive: true, force: true }))

  const write = (name: string, text: string): void => {
    const file = directory.open(name, 'create')
    file.write(Buffer.from(text), 0)
    file.close()
  }
  const textOf = (name: string): string => readFileSync(join(directory.path, name), 'utf8')

  it('are for their owner alone', () => {
    write('a', 'x')
    expect(statSync(directory.path).mode & 0o777).to.equal(0o700)
    expect(statSync(join(directory.path, 'a')).mode & 0o777).to.equal(0o600)
  })

  it('are never created over others', () => {
    write('a', 'old')
    expect(() => directory.open('a', 'create')).to.throw('EEXIST')
    expect(textOf('a')).to.equal('old')
  })

  it('take and give back bytes at any place, also across large pieces', () => {
    const bytes = Buffer.from(Array.from({ length: 700_000 }, (_, at) => (at * 7) % 251))
    const file = directory.open('a', 'create')
    file.write(bytes, 100_000)
    file.write(Buffer.from('head'), 0)
    expect(file.sizeBytes).to.equal(800_000)
    expect(file.read(100_000, 700_000).equals(bytes)).to.equal(true)
    expect(file.read(100_001, 3)).to.deep.equal(bytes.subarray(1, 4))
    expect(file.read(799_990, 100)).to.deep.equal(bytes.subarray(-10))
    expect(file.read(800_000, 100)).to.have.length(0)
    file.truncate(4)
    expect(file.sizeBytes).to.equal(4)
    expect(file.read(0, 100).toString()).to.equal('head')
    file.sync()
    file.close()
    expect(() => file.read(0, 1)).to.throw('EBADF')
  })

  it('that are opened for reading are not written, those opened for writing keep what they hold', () => {
    write('a', 'abc')
    const reading = directory.open('a', 'read')
    expect(() => reading.write(Buffer.from('x'), 0)).to.throw('EBADF')
    reading.close()
    const writing = directory.open('a', 'write')
    writing.write(Buffer.from('X'), 1)
    expect(writing.read(0, 10).toString()).to.equal('aXc')
    writing.close()
    expect(() => directory.open('missing', 'read')).to.throw('ENOENT')
    expect(() => directory.open('missing', 'write')).to.throw('ENOENT')
  })

  it('are listed, renamed, moved and removed', () => {
    write('a', 'a')
    write('b', 'b')
    const below = directory.directory('below')
    expect(directory.list()).to.have.members(['a', 'b'])
    expect([
      directory.directory('below', true) !== undefined,
      directory.directory('other', true) !== undefined
    ]).to.deep.equal([true, false])
    directory.rename('a', 'c')
    directory.rename('b', 'b', below)
    directory.sync()
    expect(directory.list()).to.deep.equal(['c'])
    expect(below.list()).to.deep.equal(['b'])
    directory.remove('c')
    expect(directory.list()).to.deep.equal([])
  })

  it('are no links, and no directories', () => {
    mkdirSync(join(directory.path, '0000000000000001.progress'))
    expect(() => directory.list()).to.throw('0000000000000001.progress in')
    rmSync(join(directory.path, '0000000000000001.progress'), { recursive: true })
    writeFileSync(join(root, 'elsewhere'), 'x')
    symlinkSync(join(root, 'elsewhere'), join(directory.path, 'notes'))
    mkdirSync(join(directory.path, 'folder'))
    expect(directory.list(), 'what is not needed is passed over').to.deep.equal([])
  })

  it('say how much more the disk takes', () => {
    expect(directory.freeBytes()).to.be.above(1024 * 1024)
  })

  it('leave no descriptor open', () => {
    const open = (): number => readdirSync('/proc/self/fd').length
    const { store } = openStore(new SimulatedDisk(), { directory })
    for (let at = 0; at < 60; at++) store.commit(group(['x'.repeat(200)]))
    const before = open()
    expect(readAll(store)).to.have.length(60)
    expect(open() - before).to.be.at.most(4)
    store.complete([{ first: 1, count: 40 }])
    store.close()
    const after = open()
    const again = openStore(new SimulatedDisk(), { directory })
    expect(readAll(again.store)).to.have.length(20)
    again.store.close()
    expect(open()).to.equal(after)
    expect(after).to.be.below(before)
  })
})

describe('the file that names the format of the durable log', () => {
  const withFormat = (text: string | Buffer): SimulatedDisk => {
    const disk = new SimulatedDisk()
    disk.directory.open('FORMAT', 'create').write(Buffer.from(text as string), 0)
    return disk
  }

  it('of another format keeps the directory from being used', () => {
    for (const text of ['castellan-log 2\n', 'castellan-log 3\n', 'castellan-log 1\nand more', '\u0000x']) {
      const disk = withFormat(text)
      expect(() => checkFormat(disk.directory), JSON.stringify(text)).to.throw(
        '/simulated holds a log of another format: "'
      )
      expect(disk.files().get('FORMAT')?.toString()).to.equal(text)
    }
  })

  it('is written anew where a crash or a full disk has left its first part', () => {
    for (let length = 0; length < 16; length++) {
      const disk = withFormat('castellan-log 1\n'.slice(0, length))
      openStore(disk).store.commit(group(['a']))
      expect(disk.files().get('FORMAT')?.toString(), `${length} bytes`).to.equal('castellan-log 1\n')
    }
  })

  it('of another release keeps the directory from being used also where there are segments', () => {
    const disk = new SimulatedDisk()
    openStore(disk).store.commit(group(['a']))
    disk.patch('FORMAT', () => Buffer.from('castellan-log 2\n'))
    const before = disk.files()
    expect(() => openStore(disk)).to.throw('holds a log of another format')
    expect(disk.files()).to.deep.equal(before)
  })

  it('with a bit flipped is told to be damaged, written again, and keeps nothing from being read', () => {
    // A bit of the number may make it that of another release.
    for (let bit = 0; bit < 8 * 'castellan-log '.length; bit++) {
      const disk = new SimulatedDisk()
      openStore(disk).store.commit(group(['a', 'b']))
      disk.patch('FORMAT', bytes => {
        bytes[bit >> 3]! ^= 1 << (bit & 7)
        return bytes
      })
      const { store, reports } = openStore(disk)
      expect(readAll(store), `bit ${bit}`).to.deep.equal(['a', 'b'])
      expect(reports.map(({ message }) => message)).to.deep.equal([
        'the file FORMAT of the durable log is damaged: its other files name their format, and nothing is lost'
      ])
      expect(disk.durableFiles().get('FORMAT')?.toString()).to.equal('castellan-log 1\n')
      expect(openStore(disk).reports).to.deep.equal([])
    }
  })

  it('that is damaged is told by a journal where all segments are gone', () => {
    const disk = new SimulatedDisk()
    const { store } = openStore(disk)
    store.commit(group(['a']))
    store.complete([{ first: 1, count: 1 }])
    store.close()
    disk.patch('FORMAT', bytes => bytes.fill('x', 3, 5))
    expect([...disk.files().keys()].filter(name => name.endsWith('.slab'))).to.deep.equal([])
    expect(openStore(disk).reports).to.have.length(1)
  })

  it('is written again where a power cut has left it empty', () => {
    for (const left of ['', Buffer.alloc(16)]) {
      const disk = withFormat(left)
      checkFormat(disk.directory)
      writeFormat(disk.directory)
      expect(disk.files().get('FORMAT')?.toString()).to.equal('castellan-log 1\n')
    }
  })

  it('is written once, and durable', () => {
    const disk = new SimulatedDisk()
    writeFormat(disk.directory)
    disk.directory.sync()
    expect(disk.durableFiles().get('FORMAT')?.toString()).to.equal('castellan-log 1\n')
    disk.faults.before = operation => {
      if (operation !== 'read') throw eio()
    }
    writeFormat(disk.directory)
    checkFormat(disk.directory)
  })
})
