// Package faulttest finds out what a program does when its disk fails.
package faulttest
