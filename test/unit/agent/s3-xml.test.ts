/** What is read of S3's answers. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { escaped, isDocumentOf, textOf, textsOf } from "../../../src/agent/backup/s3-xml.ts";

describe("texts of elements", () => {
  test.each([
    ["several, in their order", "<L><Key>b</Key><Size>1</Size><Key>a</Key></L>", ["b", "a"]],
    ["entities", "<Key>&lt;a &amp;&#38;&#x26; &quot;b&apos;&gt;&#x1F642;</Key>", ["<a &&& \"b'>🙂"]],
    ["an entity of an entity, once", "<Key>&amp;lt;</Key>", ["&lt;"]],
    ["what is no entity", "<Key>a &unknown; &#x110000; b</Key>", ["a &unknown; &#x110000; b"]],
    ["empty ones", "<Key></Key><Key/><Key />", ["", "", ""]],
    ["attributes and a prefix", '<s3:Key xmlns:s3="http://x/">a</s3:Key>', ["a"]],
    ["white space and lines", "<Key> a\nb </Key>", [" a\nb "]],
    ["names that only begin alike", "<KeyMarker>no</KeyMarker><KeyCount>1</KeyCount>", []],
    ["nothing", "", []],
    ["no XML", "<html><body>502 Bad Gateway", []],
  ])("%s", (_, xml, texts) => {
    expect(textsOf(xml, "Key")).toEqual(texts);
    expect(textOf(xml, "Key")).toBe(texts[0]);
  });

  test("of any text that was escaped", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => textOf(`<Key>${escaped(text)}</Key>`, "Key") === text),
    );
  });
});

test.each([
  ['<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>SlowDown</Code></Error>', true],
  ["   \n  <Error/>", true],
  ['<Error xmlns="http://s3.amazonaws.com/doc/2006-03-01/">', true],
  ["<ErrorDocument><Key>a</Key></ErrorDocument>", false],
  ["<CompleteMultipartUploadResult><Error></Error></CompleteMultipartUploadResult>", false],
  ["", false],
])("the document %s", (xml, isError) => {
  expect(isDocumentOf(xml, "Error")).toBe(isError);
});
