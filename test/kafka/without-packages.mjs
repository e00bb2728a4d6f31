// Given to a process with --import: makes it a machine for which the native packages have no binary.
import Module, { register } from 'node:module'

const missing = /lz4-napi|zstd-wasm|@node-rs/
const notFound = name => new Error(`Cannot find module '${name}'`)

const { _resolveFilename: resolve } = Module
Module._resolveFilename = (name, ...rest) => {
  if (missing.test(name)) throw notFound(name)
  return resolve(name, ...rest)
}
register(
  `data:text/javascript,${encodeURIComponent(
    `export async function resolve (name, context, next) {
      if (${missing}.test(name)) throw new Error("Cannot find module '" + name + "'")
      return await next(name, context)
    }`
  )}`
)
